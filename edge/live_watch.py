"""Live streams that are watched: pictures are taken, encoded and sent as they come; questions are about the last ones.

Three things go on at once: a child process takes pictures and encodes one a stride (`edge/live_child.py`); a task sends
what was encoded, beginning again where the link breaks; and a task keeps the drafter's events those of the newest
window, while nobody is being answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from common.ask import WatchRequest
from common.errors import EventFormatError, EventSpecError, PromptError, VideoFormatError
from common.live import LiveWindow
from common.video import VIDEO_FRAMES, VideoHeader, VideoPacket
from edge.encoding import H264, EncoderSettings
from edge.live_events import LiveEvents, SimulatedEvents, live_events
from edge.live_ring import LiveRing
from edge.live_source import LiveSource, rate_of
from edge.live_taking import taken
from edge.live_video import LiveVideo
from edge.live_wire import TakenPicture, Taking
from edge.watch_base import BACKOFF_S, WatchBase, WatchTools

WINDOW_US = 4_000_000  # if none is asked for


def window_of(request: WatchRequest) -> LiveWindow:
    """The window that a request asks for: as many pictures as the target looks at, unless it says otherwise.

    Raises:
        PromptError: it makes no sense.
    """
    length_us = request.window_us or WINDOW_US
    stride_us = request.stride_us or max(1, length_us // VIDEO_FRAMES)
    try:
        return LiveWindow(stride_us, max(1, round(length_us / stride_us)))
    except ValueError as error:
        raise PromptError(f"{error}: choose another --window-s or --stride-s") from error


class LiveWatch(WatchBase):
    """One live stream."""

    def __init__(self, request: WatchRequest, tools: WatchTools) -> None:
        super().__init__(request, tools)
        self.window = window_of(request)
        self._source = LiveSource(request.video_path, request.loop, tools.live_hosts, tools.allowed)
        codec = request.video_codec or H264
        self._encoding = EncoderSettings(
            codec, rate_of(self.window.stride_us), tools.live_kbps, refresh=max(2, self.window.cells)
        )
        self._ring = LiveRing(self.window)
        self._taken_at: dict[int, float] = {}
        self._header: VideoHeader | None = None
        self._events: LiveEvents | None = None
        self._ended = False
        self._stop = threading.Event()
        self._captured = asyncio.Event()
        self._in_window = 0

    @property
    def ready(self) -> bool:
        """True once there is a picture."""
        return self._ring.newest is not None

    @property
    def frames(self) -> int:
        """Nobody knows."""
        return 0

    def video(self) -> LiveVideo:
        """The frames of one question."""
        assert self._header is not None
        return LiveVideo(self._ring, self._header, VIDEO_FRAMES)

    def taken_at(self, number: int) -> float | None:
        """When a picture was taken, by this daemon's clock; None of one that is long gone."""
        return self._taken_at.get(number)

    async def _begin(self) -> list[Coroutine[Any, Any, None]]:
        await asyncio.get_running_loop().run_in_executor(self._tools.files, self._source.find_kind)  # is it there?
        if self.request.events_path:
            config = self._tools.drafter.model.config
            self._events = await live_events(
                self.request, config, self._tools.files, self._tools.events, self._tools.clips
            )
        else:
            self.drafter_ready.set()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        threading.Thread(target=self._take_pictures, args=(loop, done), name="live", daemon=True).start()
        return [self._capture(done), self._stream(), *([self._keep_events()] if self._events is not None else [])]

    async def _end(self) -> None:
        self._stop.set()
        await super()._end()

    # ----------------------------------------------------------------------------------------------- taking

    def _take_pictures(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        """In a thread of its own: what a child takes of the source, and encodes."""
        error: Exception | None = None
        try:
            self._encode_all(loop)
        except Exception as caught:  # whatever it is, the watch must hear of it
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(_settle, done, error)

    def _encode_all(self, loop: asyncio.AbstractEventLoop) -> None:
        taking = Taking(self._source, self.window, self._encoding, isinstance(self._events, SimulatedEvents))
        for one in taken(taking, self._stop):
            if not isinstance(one, TakenPicture):
                if isinstance(self._events, SimulatedEvents):
                    self._events.take(one)
                continue
            self._header = self._header or one.header
            loop.call_soon_threadsafe(self._take, one.packet, self._tools.clock() - one.age_s)

    def _take(self, packet: VideoPacket, at: float) -> None:
        """On the event loop: a picture was taken and encoded."""
        self._ring.add(packet)
        self._taken_at[packet.index] = at
        for number in [n for n in self._taken_at if n < packet.index - 8 * self.window.cells]:
            del self._taken_at[number]
        self._captured.set()
        self._changed.set()

    async def _capture(self, done: asyncio.Future[None]) -> None:
        """Until the source has ended. Raises what broke it."""
        try:
            await done
        except EventSpecError:
            raise
        except Exception as error:
            raise VideoFormatError(f"{self._source.shown} can't be watched: {error}") from error
        if self._ring.newest is None:
            raise VideoFormatError(f"{self._source.shown} ended before its first picture")
        self._ended = True
        self._captured.set()

    # ---------------------------------------------------------------------------------------------- sending

    async def _stream(self) -> None:
        """Send what is taken; begin again where the link breaks, with what the window needs."""
        attempt = 0
        while True:
            await self._until_captured(None)
            assert self._header is not None
            sent_before, self._in_window = self.frames_sent, 0
            try:
                await self._tools.link.stream_video(self.id, self._header, self._packets(), self._told)
            except EventSpecError as error:
                if not error.retryable:
                    raise
                attempt = 0 if self.frames_sent - sent_before > self.window.cells else attempt + 1
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                continue
            self.complete = True
            return

    def _told(self, frames: int, size: int) -> None:
        self._in_window += frames
        self.complete = self.complete or self._in_window >= self.window.cells
        self._sent(frames, size)

    async def _packets(self) -> AsyncIterator[VideoPacket]:
        last: int | None = None
        while (packet := await self._until_captured(last)) is not None:
            last = packet.index
            yield packet

    async def _until_captured(self, last: int | None) -> VideoPacket | None:
        """The packet to be sent after that of number `last`; None at the end."""
        while True:
            packet = self._ring.following(last)
            if packet is not None or self._ended:
                return packet
            self._captured.clear()
            await self._captured.wait()

    # ----------------------------------------------------------------------------------------------- events

    async def _keep_events(self) -> None:
        """The drafter's events are those of the newest window; drawing them takes half of its time at most."""
        assert self._events is not None
        drawn = -1
        while True:
            newest = self._ring.newest
            if newest is None or newest.index == drawn or (self.drafter_ready.is_set() and not self._tools.idle()):
                await asyncio.sleep(self.window.stride_us / 8e6)
                continue
            drawn, began = newest.index, time.monotonic()
            with contextlib.suppress(EventFormatError):  # nothing moved: the events of before are still the newest
                frames = await self._events.frames(newest.pts, self.stages, self._tools.files)
                await self._prepare_drafter(frames)
            await asyncio.sleep(time.monotonic() - began)


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
