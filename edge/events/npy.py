"""EventGPT's recordings: a `.npy` file that holds a pickled dict of arrays x, y, t, p."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError
from edge.events.npy_header import read_npy_header
from edge.events.pickled import read_pickled_dict
from edge.events.reading import DEFAULT_SENSOR, MAX_EVENTS, Request, check_sensor, dtype_words, events_from_columns

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from edge.events.types import Events

_SHARE = 0.65  # of memory: the whole file is read before its window is cut out
_MAX_BYTES = MAX_EVENTS * 32 + 65_536  # four columns of 64 bits at most


def read(path: Path, request: Request) -> Events:
    """Read a recording. The sensor is 640x480 if neither the file nor the caller names one.

    Raises:
        EventFormatError: anything that isn't a dict of four integer columns, hostile pickles included.
    """
    size = path.stat().st_size
    if size > min(_MAX_BYTES, _SHARE * _memory()):
        raise EventFormatError(f"{size:,} bytes are more than fit in memory; convert it to DSEC h5")
    with path.open("rb") as file:
        _check_header(file)
        columns = read_pickled_dict(file)
    return request.cut(events_from_columns(columns, request.sensor or _own_sensor(columns)))


def _memory() -> float:
    """Bytes that this process may take."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def write(file: BinaryIO, events: Events) -> None:
    """Write EventGPT's dict, with two more keys, `width` and `height`, which the original doesn't look at."""
    columns = {
        "x": events.x,
        "y": events.y,
        "t": events.t,
        "p": events.p,
        "width": events.width,
        "height": events.height,
    }
    np.save(file, np.array(columns, dtype=object), allow_pickle=True)


def _check_header(file: BinaryIO) -> None:
    shape, dtype = read_npy_header(file)
    if dtype != np.dtype(object) or shape != ():
        raise EventFormatError(
            f"the file is an array of {dtype_words(dtype)} with {len(shape)} dimensions; "
            "EventGPT's recordings are a dict of x, y, t, p"
        )


def _own_sensor(columns: dict[str, Any]) -> tuple[int, int]:
    width, height = columns.get("width"), columns.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return check_sensor(width, height)
    return DEFAULT_SENSOR
