"""Videos on their way up: the edge's own pacing (`edge/pacing.py`) over a modelled TCP connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.simulation.link import BulkConnection, MessageStream
from benchmarks.simulation.timeline import Call, Timeline
from edge.pacing import VideoInFlight, VideoPacer

_ACKNOWLEDGEMENT = 8  # bytes
_FIRST_MESSAGE = 220  # HTTP/2 headers of a call
_LOOK_AGAIN_S = 1.0


@dataclass
class _Upload:
    size: int
    arrived: Callable[[float], None]
    done: Call
    unsent: int
    received: int = 0
    books: VideoInFlight = field(default_factory=VideoInFlight)


class PacedUploads:
    """All videos of one edge: messages as large as the pacer wants them, in turns, when there is room."""

    def __init__(self, timeline: Timeline, up: BulkConnection, down: MessageStream) -> None:
        self._timeline = timeline
        self._up = up
        self._down = down
        self._pacer = VideoPacer()
        self._turns: deque[_Upload] = deque()
        self._look_at = -1.0

    def send(self, size: int, arrived: Callable[[float], None], done: Call) -> None:
        """Upload a video of `size` bytes.

        `arrived` hears at the cloud which share of it is there; `done` is called when the edge knows that all is.
        """
        self._turns.append(_Upload(size, arrived, done, size))
        self._pump()

    def _pump(self) -> None:
        now = self._timeline.now
        while self._turns:
            upload = self._turns[0]
            part = min(max(1, self._pacer.fragment), upload.unsent)
            if not self._pacer.may_send(part, now):
                self._look_again(now)
                return
            self._turns.rotate(-1)
            self._pacer.sent(upload.books, part, now)
            first = upload.unsent == upload.size
            upload.unsent -= part
            if not upload.unsent:
                self._turns.remove(upload)
            self._up.send([part + first * _FIRST_MESSAGE], partial(self._arrive, upload, part))

    def _look_again(self, now: float) -> None:
        """An acknowledgement wakes it, or a while: a cloud that is never heard of gets everything in the end."""
        if self._look_at <= now:
            self._look_at = now + _LOOK_AGAIN_S
            self._timeline.at(self._look_at, self._pump)

    def _arrive(self, upload: _Upload, part: int, _: int) -> None:
        upload.received += part
        upload.arrived(upload.received / upload.size)
        self._down.send(_ACKNOWLEDGEMENT, partial(self._acknowledged, upload, upload.received))

    def _acknowledged(self, upload: _Upload, received: int) -> None:
        self._pacer.acknowledged(upload.books, received, self._timeline.now)
        if received == upload.size:
            self._pacer.forget(upload.books)
            upload.done()
        self._pump()
