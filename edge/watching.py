"""Clips that are streamed to the cloud, and taken in by the drafter, before anyone asks about them.

A `Watch` lives as long as the call that began it. Its video goes up as it is recorded (or as fast as the link takes
it); the cloud encodes and prefills it under the watch's id. Its events are drawn once their window is over. What has no
end is watched by `edge/live_watch.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from common.ask import WatchRequest, WatchState
from common.errors import CapacityError, LinkError, PromptError
from common.video import VideoPacket
from edge.clips import ReadClip
from edge.event_frames import read_event_frames
from edge.live_watch import LiveWatch
from edge.runner import Video
from edge.transcoding import check_codec, encoding_of
from edge.watch_base import BACKOFF_S, WatchBase, WatchTools


class Watch(WatchBase):
    """One clip of known length."""

    def __init__(self, request: WatchRequest, tools: WatchTools) -> None:
        super().__init__(request, tools)
        check_codec(request.video_codec)
        self._clip: ReadClip | None = None

    @property
    def ready(self) -> bool:
        """True once the clip is open."""
        return self._clip is not None

    @property
    def clip(self) -> ReadClip:
        """The video's file."""
        assert self._clip is not None
        return self._clip

    @property
    def frames(self) -> int:
        """Frames that go up."""
        return self.clip.header.frames

    def video(self) -> Video:
        """The whole clip, or its sampled frames."""
        clip = self.clip
        return Video(clip.header, lambda: clip.sent(self._tools.files))

    async def _begin(self) -> list[Coroutine[Any, Any, None]]:
        opening = partial(
            self._tools.clips.open,
            self.request.video_path,
            encoding_of(self.request.video_codec),
            self._tools.live_kbps,
        )
        self._clip = await asyncio.get_running_loop().run_in_executor(self._tools.files, opening)
        if not self.request.events_path:
            self.drafter_ready.set()
            return [self._stream()]
        return [self._stream(), self._prepare()]

    async def _stream(self) -> None:
        """Send the video; begin again where the link breaks (the cloud skips the frames that it has)."""
        header = replace(self.clip.header, ahead=True)
        for attempt in range(1_000_000):
            self.frames_sent = 0
            try:
                await self._tools.link.stream_video(self.id, header, self._packets(), self._sent)
            except LinkError:
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                continue
            self.complete = True
            return

    async def _packets(self) -> AsyncIterator[VideoPacket]:
        """The clip's packets; in real time, each when its picture has been taken."""
        async with contextlib.aclosing(self.clip.taken(self._tools.files)) as taken:
            async for taken_s, packet in taken:
                if self.request.realtime:
                    await self._until(taken_s)
                yield packet

    async def _prepare(self) -> None:
        """Draw the events once their window is over, and let the drafter take them in."""
        model = self._tools.drafter.model
        if self.request.realtime:
            await self._until((self.request.window_start_us + (model.config.window_us or 0)) / 1e6)
        frames = await read_event_frames(
            self.request.events_path,
            self.request.window_start_us,
            model.config,
            self.stages,
            self._tools.files,
            self._tools.events,
        )
        await self._prepare_drafter(frames)

    async def _until(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.started_at + seconds - self._tools.clock()))


class Watches:
    """All clips and live streams that a daemon watches."""

    def __init__(self, tools: WatchTools, limit: int) -> None:
        self._tools = tools
        self._limit = limit
        self._watches: dict[str, WatchBase] = {}

    async def watch(self, request: WatchRequest) -> AsyncGenerator[WatchState, None]:
        """Watch a clip for as long as this is iterated.

        Raises:
            CapacityError: too many are watched already.
            EventSpecError: a file can't be read, or the cloud refuses the video.
        """
        if len(self._watches) >= self._limit:
            raise CapacityError(f"{self._limit} clips are watched already; end another watch first")
        if not request.video_path:
            raise PromptError("name a video with --video")
        watch: WatchBase = LiveWatch(request, self._tools) if request.live else Watch(request, self._tools)
        self._watches[watch.id] = watch
        try:
            async with contextlib.aclosing(watch.run()) as states:
                async for state in states:
                    yield state
        finally:
            del self._watches[watch.id]

    def get(self, watch_id: str) -> WatchBase:
        """The clip of that id.

        Raises:
            PromptError: there is none.
        """
        watch = self._watches.get(watch_id)
        if watch is None or not watch.ready:
            raise PromptError(f"no clip is watched under the id {watch_id[:64]!r}: begin with `eventspec-edge watch`")
        return watch
