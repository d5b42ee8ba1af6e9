"""Events as plain columns between a child that reads and the process that asked."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError
from edge.events.types import Events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HEADER = struct.Struct("!QII")  # events, width, height
_COLUMNS = (("t", np.int64), ("x", np.uint16), ("y", np.uint16), ("p", np.uint8))  # the widest first: all are aligned


def packed(events: Events) -> Sequence[bytes | memoryview]:
    """A header, and the columns t, x, y, p."""
    header = HEADER.pack(len(events), events.width, events.height)
    return [header, *(getattr(events, name).data.cast("B") for name, _ in _COLUMNS if len(events))]


def columns_of(reply: memoryview) -> Events:
    """The events of `packed`, checked as those of a file: the child may have been taken over by one.

    Raises:
        EventFormatError: they are none.
    """
    if len(reply) < HEADER.size:
        raise EventFormatError("reading it failed: no events came back")
    count, width, height = HEADER.unpack(reply[: HEADER.size])
    if len(reply) != HEADER.size + count * sum(np.dtype(dtype).itemsize for _, dtype in _COLUMNS):
        raise EventFormatError("reading it failed: other events came back than were announced")
    columns: dict[str, NDArray[Any]] = {}
    at = HEADER.size
    for name, dtype in _COLUMNS:
        columns[name] = np.frombuffer(reply, dtype=dtype, count=count, offset=at)
        at += columns[name].nbytes
    return Events(columns["x"], columns["y"], columns["t"], columns["p"], width, height)
