"""The events of a live stream's newest window, for the drafter: of a recording that plays along, or simulated."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from common.ask import WatchRequest
from common.errors import EventFormatError
from edge.live_source import SIMULATED
from edge.stages import Stages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.clips import ClipReader
    from edge.eventgpt import EventGPTConfig
    from edge.events import Events
    from edge.events.isolated import EventReader

_MOST_PARTS = 16  # of a window over a recording that is much shorter
_DEFAULT_WINDOW_US = 1_000_000  # of a drafter that takes windows of any length


class LiveEvents(Protocol):
    """Where events come from. `frames` runs in the threads that read files."""

    async def frames(self, newest_us: int, stages: Stages, files: Executor) -> list[NDArray[Any]]:
        """The drafter's frames of the window that ends at `newest_us`. Raises EventFormatError: too few events."""


async def live_events(
    request: WatchRequest, config: EventGPTConfig, files: Executor, reader: EventReader, clips: ClipReader
) -> LiveEvents:
    """The events that a request names.

    Raises:
        EventFormatError: the recording can't be read.
    """
    if request.events_path == SIMULATED:
        return SimulatedEvents(config)
    loop = asyncio.get_running_loop()
    period_us = await loop.run_in_executor(files, _period_us, request, clips) if request.loop else 0
    return RecordedEvents(request, config, period_us, reader)


def _period_us(request: WatchRequest, clips: ClipReader) -> int:
    """How long the video is that is played again and again."""
    last = 0.0
    for taken_s, _ in clips.open(request.video_path).recorded():
        last = max(last, taken_s)
    return round(last * 1e6)


def parts_of(begin_us: int, end_us: int, period_us: int) -> list[tuple[int, int]]:
    """The window [begin, end) of a recording that is played every `period_us` (0: once), oldest part first. Pure."""
    begin_us = max(0, begin_us)
    if period_us <= 0:
        return [(begin_us, end_us)] if begin_us < end_us else []
    parts = []
    while begin_us < end_us:
        turn = begin_us // period_us
        stop = min(end_us, (turn + 1) * period_us)
        parts.append((begin_us - turn * period_us, stop - turn * period_us))
        begin_us = stop
    return parts


class RecordedEvents:
    """A recording that begins with the video's first picture, and is played with it."""

    def __init__(self, request: WatchRequest, config: EventGPTConfig, period_us: int, reader: EventReader) -> None:
        self._reader = reader
        self._path = request.events_path
        self._offset_us = request.window_start_us
        self._config = config
        self._period_us = period_us

    async def frames(self, newest_us: int, stages: Stages, files: Executor) -> list[NDArray[Any]]:
        """The drafter's frames of the window that ends at `newest_us`."""
        window_us = self._config.window_us or _DEFAULT_WINDOW_US
        parts = parts_of(newest_us - window_us, newest_us + 1, self._period_us)[-_MOST_PARTS:]

        def work() -> list[NDArray[Any]]:
            with stages.span("load"):
                events = self._load(parts)
            return drawn(events, self._config, stages)

        return await asyncio.get_running_loop().run_in_executor(files, work)

    def _load(self, parts: list[tuple[int, int]]) -> Events:
        """The parts' events, one behind the other."""
        from edge.events import concatenate, load_events

        chunks: list[Events] = []
        for begin, end in parts:
            try:
                begin_us = self._offset_us + begin
                part = load_events(self._path, start_us=begin_us, duration_us=end - begin, reader=self._reader)
            except EventFormatError:
                if len(parts) == 1:
                    raise
                continue  # a window that spans the end may have nothing on one side
            shift = int(chunks[-1].t[-1]) + 1 - int(part.t[0]) if chunks else 0
            chunks.append(replace(part, t=part.t + shift))
        return concatenate(chunks)


class SimulatedEvents:
    """Events that a simulated sensor reports of the pictures themselves, where there is no event camera.

    The sensor is where pictures are taken (`edge/live_child.py`).
    """

    def __init__(self, config: EventGPTConfig) -> None:
        self._config = config
        self._chunks: deque[Events] = deque()
        self._lock = threading.Lock()

    def take(self, events: Events) -> None:
        """Events that the sensor reports, after all before; in the thread that hears of pictures."""
        with self._lock:
            if self._chunks and (events.width, events.height) != (self._chunks[0].width, self._chunks[0].height):
                self._chunks.clear()
            if not len(events):
                return
            self._chunks.append(events)
            begin = int(events.t[-1]) - 2 * (self._config.window_us or _DEFAULT_WINDOW_US)
            while int(self._chunks[0].t[-1]) < begin:
                self._chunks.popleft()

    async def frames(self, newest_us: int, stages: Stages, files: Executor) -> list[NDArray[Any]]:
        """The drafter's frames of the window that ends at `newest_us`."""

        def work() -> list[NDArray[Any]]:
            from edge.events import concatenate

            with self._lock:
                chunks = list(self._chunks)
            if not chunks:
                raise EventFormatError("nothing has moved yet, so there are no events")
            window_us = self._config.window_us or _DEFAULT_WINDOW_US
            begin = max(0, newest_us - window_us)
            return drawn(concatenate(chunks).window(begin, newest_us + 1 - begin), self._config, stages)

        return await asyncio.get_running_loop().run_in_executor(files, work)


def drawn(events: Events, config: EventGPTConfig, stages: Stages) -> list[NDArray[Any]]:
    """Events as the drafter sees them. Raises EventFormatError: there are too few."""
    from edge.events import raster

    planned_ms = stages.replay.drafter.rasterise_ms if stages.replay is not None else 0.0
    canvas = (events.height, events.width) if config.canvas == "sensor" else None
    with stages.span("rasterise", planned_ms):
        return list(raster(events, frames=config.frames, canvas=canvas))
