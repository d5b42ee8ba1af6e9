"""Live pictures, taken and encoded by a child process of their own: what they come from may be anybody's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from common.child_pool import ChildPool
from common.errors import VideoFormatError
from common.limited_child import Limits
from edge.live_source import FOLLOW, LiveSource
from edge.live_wire import TakenPicture, Taking, decode_taken, encode_taking

if TYPE_CHECKING:
    from edge.events.types import Events

_PLACES = 64  # live streams at a time
_LIMITS = Limits(memory_bytes=3 << 30, cpu_s=30, wall_s=30.0, reply_bytes=128 << 20)


@cache
def live_children() -> ChildPool:
    """The children that take live pictures for this process, one for each stream."""
    return ChildPool("edge.live_child:make", _LIMITS, error=VideoFormatError, places=_PLACES, kept=0, once=True)


def taken(taking: Taking, stop: threading.Event, children: ChildPool | None = None) -> Iterator[TakenPicture | Events]:
    """What is taken, as it comes, until the source ends or `stop` is set. Blocks: for a thread of its own.

    Raises:
        VideoFormatError: the source can't be opened, or breaks, or its child was lost over it.
        CapacityError: too many are watched.
    """
    with (children or live_children()).borrow() as child:
        child.ask(encode_taking(replace(taking, source=_absolute(taking.source))))
        while not stop.is_set():
            reply = decode_taken(child.ask(b"next"), taking.window)
            yield from reply.items
            if reply.error:
                raise VideoFormatError(reply.error)
            if reply.ended:
                return


def _absolute(source: LiveSource) -> LiveSource:
    """The same file for a child, which has no working directory."""
    if "://" in source.name:
        return source
    prefix = FOLLOW if source.name.startswith(FOLLOW) else ""
    return replace(source, name=prefix + os.path.abspath(source.name.removeprefix(FOLLOW)))  # noqa: PTH100
