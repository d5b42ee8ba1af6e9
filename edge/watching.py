"""Clips that are streamed to the cloud, and taken in by the drafter, before anyone asks about them.

A `Watch` lives as long as the call that began it. Its video goes up as it is recorded (or as fast as the link takes
it); the cloud encodes and prefills it under the watch's id. Its events are drawn once their window is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from common.ask import WatchRequest, WatchState
from common.errors import CapacityError, EventSpecError, LinkError, PromptError
from common.replay import StageTimes
from common.video import VideoPacket
from edge.event_frames import read_event_frames
from edge.link import Link
from edge.stages import Stages
from edge.video import Clip, open_clip
from edge.worker import DraftingThread

if TYPE_CHECKING:
    from edge.ahead import AheadDrafter
    from edge.answering import DrafterModel

_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class WatchTools:
    """What all watches of a daemon share."""

    drafter: DrafterModel
    link: Link
    thread: DraftingThread
    files: Executor
    max_video_bytes: int
    max_answer_tokens: int
    replay: StageTimes | None = None
    clock: Callable[[], float] = time.monotonic


class Watch:
    """One clip. `run` does all the work; questions may come as soon as it has yielded once."""

    def __init__(self, request: WatchRequest, tools: WatchTools) -> None:
        self.id = uuid.uuid4().hex
        self.request = request
        self.stages = Stages(tools.replay, clock=tools.clock)
        self.started_at = tools.clock()
        self.frames_sent = self.bytes_sent = 0
        self.complete = False
        self.drafter_ready = asyncio.Event()
        self._tools = tools
        self._clip: Clip | None = None
        self._ahead: AheadDrafter | None = None
        self._unclaimed_bytes = 0
        self._changed = asyncio.Event()
        self._failed: EventSpecError | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def clip(self) -> Clip:
        """The video's file, for a cloud that doesn't hold the clip any more."""
        assert self._clip is not None
        return self._clip

    @property
    def drafter(self) -> AheadDrafter:
        """The drafter's part; only after `drafter_ready`."""
        if self._ahead is None:
            raise PromptError("this clip is watched without events: nobody can draft; ask with --mode cloud_only")
        return self._ahead

    def claim_bytes(self) -> int:
        """Video bytes sent since the last question asked; each byte is counted with one question."""
        claimed, self._unclaimed_bytes = self._unclaimed_bytes, 0
        return claimed

    async def run(self) -> AsyncGenerator[WatchState, None]:
        """Stream and prepare; yields at every change, for ever. Leaves nothing running.

        Raises:
            EventSpecError: a file can't be read, or the cloud refuses the video.
        """
        loop = asyncio.get_running_loop()
        opening = lambda: open_clip(self.request.video_path, max_bytes=self._tools.max_video_bytes)  # noqa: E731
        self._clip = await loop.run_in_executor(self._tools.files, opening)
        self._spawn(self._stream())
        if self.request.events_path:
            self._spawn(self._prepare())
        else:
            self.drafter_ready.set()
        try:
            while True:
                yield self.state()
                await self._changed.wait()
                self._changed.clear()
                if self._failed is not None:
                    raise self._failed
        finally:
            await self._end()

    def state(self) -> WatchState:
        """How far it has come."""
        at_ms = (self._tools.clock() - self.started_at) * 1e3
        ready = self.drafter_ready.is_set()
        return WatchState(
            self.id, self.frames_sent, self.clip.header.frames, self.bytes_sent, self.complete, ready, at_ms
        )

    # ------------------------------------------------------------------------------------------------- work

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except EventSpecError as error:
                self._failed = error
            self._changed.set()

        self._tasks.append(asyncio.create_task(guarded()))

    async def _stream(self) -> None:
        """Send the video; begin again where the link breaks (the cloud skips the frames that it has)."""
        header = replace(self.clip.header, ahead=True)
        for attempt in range(1_000_000):
            self.frames_sent = 0
            try:
                await self._tools.link.stream_video(self.id, header, self._packets(), self._sent)
            except LinkError:
                await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                continue
            self.complete = True
            return

    def _sent(self, frames: int, size: int) -> None:
        self.frames_sent += frames
        self.bytes_sent += size
        self._unclaimed_bytes += size
        self._changed.set()

    async def _packets(self) -> AsyncIterator[VideoPacket]:
        """The clip's packets; in real time, each when its picture has been taken."""
        for taken_s, packet in self.clip.recorded():
            if self.request.realtime:
                await self._until(taken_s)
            yield packet

    async def _prepare(self) -> None:
        """Draw the events once their window is over, and let the drafter take them in."""
        model = self._tools.drafter.model
        if self.request.realtime:
            await self._until((self.request.window_start_us + (model.config.window_us or 0)) / 1e6)
        frames = await read_event_frames(
            self.request.events_path, self.request.window_start_us, model.config, self.stages, self._tools.files
        )
        ahead = await self._tools.thread.run(self._load_ahead, frames)
        self._ahead = ahead
        self.drafter_ready.set()

    def _load_ahead(self, frames: list[Any]) -> AheadDrafter:
        from edge.ahead import AheadDrafter

        ahead = AheadDrafter(self._tools.drafter, frames, self._tools.max_answer_tokens)
        ahead.prepare(self.stages)
        return ahead

    async def _until(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.started_at + seconds - self._tools.clock()))

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ahead is not None:
            with contextlib.suppress(RuntimeError):  # the drafter's thread may be gone already
                await self._tools.thread.run(self._ahead.close)


class Watches:
    """All clips that a daemon watches."""

    def __init__(self, tools: WatchTools, limit: int) -> None:
        self._tools = tools
        self._limit = limit
        self._watches: dict[str, Watch] = {}

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
        watch = Watch(request, self._tools)
        self._watches[watch.id] = watch
        try:
            async with contextlib.aclosing(watch.run()) as states:
                async for state in states:
                    yield state
        finally:
            del self._watches[watch.id]

    def get(self, watch_id: str) -> Watch:
        """The clip of that id.

        Raises:
            PromptError: there is none.
        """
        watch = self._watches.get(watch_id)
        if watch is None or watch._clip is None:
            raise PromptError(f"no clip is watched under the id {watch_id[:64]!r}: begin with `eventspec-edge watch`")
        return watch
