"""The child of `edge/live_taking.py`: a thread of it takes a source's pictures, and questions ask for what came."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import EventSpecError, VideoFormatError
from common.live import Sampler
from edge.encoding import PictureEncoder
from edge.live_ring import keyframe_due
from edge.live_source import pictures
from edge.live_wire import Taken, TakenPicture, Taking, decode_taking, encode_taken

if TYPE_CHECKING:
    from edge.events import Events, EventSimulator

    Buffers = Sequence[bytes | memoryview]

_LOOK_S = 0.25  # a question waits so long for something to come
_ROOM = 64  # pictures and chunks of events that nobody has asked for yet; then the source waits
_MOST_BYTES = 16 << 20  # of a reply, and one thing more


def make() -> Callable[[bytes], Buffers]:
    """What answers questions, FFmpeg and the simulated sensor loaded ahead of the first."""
    import av

    import edge.events.simulate  # noqa: F401

    av.logging.set_level(av.logging.PANIC)
    return LiveChild().answer


class LiveChild:
    """One source. The first request says which; each one after it asks for what came since."""

    def __init__(self) -> None:
        self._taking: Taking | None = None
        self._came: deque[tuple[TakenPicture | Events, float]] = deque()
        self._changed: threading.Condition | None = None  # made after the fork
        self._ended = False
        self._error = ""

    def answer(self, data: bytes) -> Buffers:
        """The reply to a request."""
        if self._taking is None or self._changed is None:
            self._taking, self._changed = decode_taking(data), threading.Condition()
            threading.Thread(target=self._run, args=(self._taking, self._changed), daemon=True).start()
            return []
        with self._changed:
            self._changed.wait_for(lambda: self._came or self._ended, timeout=_LOOK_S)
            items, size, now = list[Any](), 0, time.monotonic()
            while self._came and size < _MOST_BYTES:
                item, at = self._came.popleft()
                if isinstance(item, TakenPicture):
                    item = TakenPicture(item.packet, item.header, now - at)
                    size += len(item.packet.data)
                else:
                    size += 13 * len(item)
                items.append(item)
            self._changed.notify_all()
            ended = self._ended and not self._came
        return encode_taken(Taken(items, ended, self._error if ended else ""))

    def _run(self, taking: Taking, changed: threading.Condition) -> None:
        error = ""
        try:
            self._take(taking, changed)
        except EventSpecError as caught:
            error = str(caught)
        except Exception as caught:  # whatever it is, the watch must hear of it
            error = f"{taking.source.shown} can't be watched ({type(caught).__name__})"
        with changed:
            self._ended, self._error = True, error
            changed.notify_all()

    def _take(self, taking: Taking, changed: threading.Condition) -> None:
        sampler, encoder, size, number = Sampler(taking.window), None, (0, 0), 0
        sensor = Sensor() if taking.simulate else None
        for time_us, frame in pictures(taking.source, threading.Event()):
            if sensor is not None and (events := sensor.see(frame, time_us)) is not None:
                self._put(events, changed)
            if not sampler.take(time_us):
                continue
            if encoder is None:
                size = (frame.width, frame.height)
                encoder = PictureEncoder(*size, taking.encoding)
            if (frame.width, frame.height) != size:
                raise VideoFormatError(f"{taking.source.shown} has changed its size: watch it again")
            packet = encoder.encode(frame, number, time_us, keyframe=keyframe_due(number, taking.window))
            number += 1
            self._put(TakenPicture(packet, encoder.header, 0.0), changed)

    def _put(self, item: TakenPicture | Events, changed: threading.Condition) -> None:
        with changed:
            changed.wait_for(lambda: len(self._came) < _ROOM)
            self._came.append((item, time.monotonic()))
            changed.notify_all()


class Sensor:
    """A simulated event camera that sees what the other one sees."""

    def __init__(self) -> None:
        self._simulator: EventSimulator | None = None
        self._last_us = -1

    def see(self, frame: Any, time_us: int) -> Events | None:
        """The events between the last picture (`av.VideoFrame`) and this one; None if there are none."""
        from edge.events import EventSimulator

        grey = frame.to_ndarray(format="gray")
        height, width = grey.shape
        simulator = self._simulator
        if simulator is None or (simulator.width, simulator.height) != (width, height):
            simulator = self._simulator = EventSimulator(width, height)
        if time_us <= self._last_us:
            return None
        self._last_us = time_us
        with contextlib.suppress(ValueError):  # no later than the last
            events = simulator.push(grey, time_us)
            return events if len(events) else None
        return None
