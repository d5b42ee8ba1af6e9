"""Where live pictures come from: a file played in real time, a pipe, a file that grows, a camera, an address.

Everything here blocks, and belongs in a thread of its own. PyAV is imported when it is needed.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from common.errors import PathError, VideoFormatError
from common.named_files import EVERYTHING, Allowed, Kind, kind_of, open_named, path_of
from edge.live_address import CONTAINERS, Opened, open_address, shown_address
from edge.live_connection import OPEN_S, READ_S, parse_address
from edge.live_hosts import HostRules

if TYPE_CHECKING:
    from fractions import Fraction

FOLLOW = "follow:"
SIMULATED = "simulated"  # events, of the pictures
_GROWTH_S = 10.0  # a file that hasn't grown for so long is over
_POLL_S = 0.05
_JUMP_S = 10.0  # a gap of more in a stream's own times is a new beginning


class SourceKind(Enum):
    """How a source is read, and by whose clock its pictures come."""

    FILE = "file"  # played at its own pace
    PIPE = "pipe"  # a FIFO: as its writer writes
    GROWING = "growing"  # a file that is still written: as it grows
    DEVICE = "device"  # a camera, through video4linux
    ADDRESS = "address"  # a URL


_KINDS = {Kind.FILE: SourceKind.FILE, Kind.PIPE: SourceKind.PIPE, Kind.CAMERA: SourceKind.DEVICE}
_STREAMS = frozenset({Kind.FILE, Kind.PIPE})


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A source by its name. `loop`: a file is played again and again.

    `hosts`: those that addresses may name; `allowed`: the files, pipes and cameras.
    """

    name: str
    loop: bool = False
    hosts: HostRules = field(default_factory=HostRules)
    allowed: Allowed = EVERYTHING

    @property
    def shown(self) -> str:
        """The name as messages have it: without a password."""
        return shown_address(self.name) if "://" in self.name else self.name

    @property
    def kind(self) -> SourceKind:
        """What the name means. Raises VideoFormatError if there is no such thing."""
        if self.name.startswith(FOLLOW):
            return SourceKind.GROWING
        if "://" in self.name:
            parse_address(self.name)
            return SourceKind.ADDRESS
        try:
            found = kind_of(self.name, self.allowed)
        except PathError as error:
            raise VideoFormatError(f"there is no video file {self.name}: it {error}") from error
        if found not in _KINDS:
            raise VideoFormatError(f"{self.name} is {found.value}; name a video, a pipe, a camera or an address")
        return _KINDS[found]

    def find_kind(self) -> SourceKind:
        """As `kind`, for threads: it looks at the disk."""
        return self.kind

    def open(self, kinds: frozenset[Kind]) -> io.FileIO:
        """Open what the name stands for. Raises VideoFormatError unless it is of these kinds."""
        try:
            return open_named(self.name.removeprefix(FOLLOW), self.allowed, kinds)
        except PathError as error:
            raise VideoFormatError(f"can't watch {self.shown}: it {error}") from error


class Timeline:
    """A source's times as one that never stands still: microseconds since the first picture. Pure.

    A source that says nothing of time, jumps back, or far ahead (it was cut, or begins again), goes on by `now`.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._last_s: float | None = None
        self._last_now = 0.0
        self._us = -1

    def at(self, seconds: float | None, now: float) -> int:
        """When the picture with that time of its own was taken; `now` is in seconds of any steady clock."""
        if self._last_s is None:
            self._offset_s = -seconds if seconds is not None else 0.0
            self._last_s, self._last_now = 0.0, now
        else:
            since = self._last_s + max(0.0, now - self._last_now)
            shown = since if seconds is None else seconds + self._offset_s
            if not self._last_s <= shown <= self._last_s + _JUMP_S:
                shown = since
                self._offset_s = shown - seconds if seconds is not None else self._offset_s
            self._last_s, self._last_now = shown, now
        self._us = max(self._us + 1, round(self._last_s * 1e6))
        return self._us

    def begin_again(self, gap_s: float) -> None:
        """The source starts anew, so long after its last picture."""
        if self._last_s is not None:
            self._last_s += gap_s
            self._last_now = float("inf")  # until then no time passes


def pictures(
    source: LiveSource, stop: threading.Event, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[int, Any]]:
    """The source's pictures as they come, until it ends or `stop` is set.

    Yields:
        Microseconds since the first picture, growing, and an `av.VideoFrame`. A file's pictures come at its own pace.

    Raises:
        VideoFormatError: the source can't be opened, or breaks. A stream that just ends isn't broken.
    """
    with contextlib.suppress(_StoppedError):
        yield from _pictures(source, stop, clock)


class _StoppedError(Exception):
    """`stop` was set while the source was being opened."""


def _pictures(source: LiveSource, stop: threading.Event, clock: Callable[[], float]) -> Iterator[tuple[int, Any]]:
    timeline, started = Timeline(), clock()
    paced = source.kind is SourceKind.FILE
    while True:
        first: float | None = None
        with _opened(source, stop) as (container, stream):
            for frame in _decoded(container, stream, source, stop):
                if first is None:
                    first = frame.time or 0.0
                time_us = timeline.at(frame.time, clock())
                if paced and stop.wait(max(0.0, started + time_us / 1e6 - clock())):
                    return
                yield time_us, frame
            gap_s = float(1 / stream.average_rate) if stream.average_rate else 1 / 25
        if not (source.loop and paced) or first is None or stop.is_set():
            return
        timeline.begin_again(gap_s)


def _decoded(container: Any, stream: Any, source: LiveSource, stop: threading.Event) -> Iterator[Any]:
    import av

    frames = container.decode(stream)
    while not stop.is_set():
        try:
            frame = next(frames, None)
        except av.EOFError:
            return
        except av.ExitError as error:
            raise VideoFormatError(f"{source.shown} has said nothing for {READ_S:g} s") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoFormatError(f"{source.shown} broke: {getattr(error, 'strerror', None) or error}") from error
        if frame is None:
            return
        if not frame.is_corrupt:
            yield frame


@contextmanager
def _opened(source: LiveSource, stop: threading.Event) -> Iterator[tuple[Any, Any]]:
    """The container and its first moving picture."""
    import av

    opened = _prepared(source, stop)
    try:
        with av.open(opened.name, options=opened.options, **opened.more) as container:
            moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not moving:
                raise VideoFormatError(f"{source.shown} has no video in it")
            moving[0].thread_type = "NONE"  # threads of FFmpeg's hold pictures back
            yield container, moving[0]
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        if stop.is_set():
            raise _StoppedError from error
        reason = opened.why() or getattr(error, "strerror", None) or error
        raise VideoFormatError(f"can't watch {source.shown}: {reason}") from error
    finally:
        opened.close()


def _prepared(source: LiveSource, stop: threading.Event) -> Opened:
    """What PyAV is given."""
    kind = source.kind
    if kind is SourceKind.ADDRESS:
        try:
            return open_address(source.name, source.hosts, stop)
        except VideoFormatError as error:
            if stop.is_set():
                raise _StoppedError from error
            raise
    if kind is SourceKind.DEVICE:
        camera = source.open(frozenset({Kind.CAMERA}))
        more = {"format": "v4l2", "timeout": (OPEN_S, READ_S)}
        return Opened(str(path_of(camera)), {}, more, close=camera.close)
    if kind is SourceKind.FILE:
        file = source.open(frozenset({Kind.FILE}))
        return Opened(file, {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}, close=file.close)
    reader = GrowingFile(source.open(_STREAMS), stop)
    return Opened(reader, {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}, close=reader.close)


class GrowingFile:
    """A pipe, or a file that is still written, as PyAV reads it; a read waits for what comes.

    It ends when the pipe's writer has closed it, when the file hasn't grown for a while, or when `stop` is set.
    """

    def __init__(self, file: io.FileIO, stop: threading.Event) -> None:
        """Read a file that was opened without waiting; it is closed with this."""
        self.name = str(file.name)
        self._stop = stop
        self._file = file
        self._fd = file.fileno()
        self._pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        self._begun = False

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        waited = 0.0
        while not self._stop.is_set():
            try:
                data = os.read(self._fd, size)
            except BlockingIOError:  # the pipe has a writer, who has nothing to say yet
                data, self._begun, waited = b"", True, 0.0
            else:
                if data:
                    self._begun = True
                    return data
                if self._pipe and self._begun:
                    return b""
                waited += 0.0 if self._pipe else _POLL_S
            if waited > _GROWTH_S:
                return b""
            self._stop.wait(_POLL_S)
        return b""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def rate_of(stride_us: int) -> Fraction:
    """Pictures a second of a stream with so many microseconds from one to the next."""
    from fractions import Fraction

    return Fraction(1_000_000, stride_us)
