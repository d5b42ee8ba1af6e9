"""What a watched clip and a watched live stream have in common: their books, their tasks, the call that ends them."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.ask import WatchRequest, WatchState
from common.errors import EventSpecError, PromptError
from common.named_files import EVERYTHING, Allowed
from common.replay import StageTimes
from edge.link import Link
from edge.live_hosts import HostRules
from edge.stages import Stages
from edge.worker import DraftingThread

if TYPE_CHECKING:
    from edge.ahead import AheadDrafter
    from edge.clips import ClipReader
    from edge.drafter_model import DrafterModel
    from edge.events.isolated import EventReader
    from edge.live_video import LiveVideo
    from edge.runner import Video

BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class WatchTools:
    """What all watches of a daemon share. `idle`: nobody is being answered now."""

    drafter: DrafterModel
    link: Link
    thread: DraftingThread
    files: Executor
    events: EventReader
    clips: ClipReader
    max_answer_tokens: int
    replay: StageTimes | None = None
    clock: Callable[[], float] = time.monotonic
    idle: Callable[[], bool] = lambda: True
    live_kbps: int = 2000
    live_hosts: HostRules = field(default_factory=HostRules)
    allowed: Allowed = EVERYTHING


class WatchBase(ABC):
    """One watch. `run` does all the work; questions may come as soon as it has yielded once."""

    def __init__(self, request: WatchRequest, tools: WatchTools) -> None:
        self.id = uuid.uuid4().hex
        self.request = request
        self.stages = Stages(tools.replay, clock=tools.clock)
        self.started_at = tools.clock()
        self.frames_sent = self.bytes_sent = 0
        self.complete = False
        self.drafter_ready = asyncio.Event()
        self._tools = tools
        self._ahead: AheadDrafter | None = None
        self._unclaimed_bytes = 0
        self._changed = asyncio.Event()
        self._failed: EventSpecError | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    @abstractmethod
    def ready(self) -> bool:
        """True once questions may come."""

    @property
    @abstractmethod
    def frames(self) -> int:
        """Frames of the video; 0 if that isn't known."""

    @abstractmethod
    def video(self) -> Video | LiveVideo:
        """The video for one question, for a cloud that doesn't hold it any more."""

    def taken_at(self, number: int) -> float | None:
        """When a live stream's picture was taken, by the daemon's clock; None of one long gone, or of other videos."""
        return None

    @abstractmethod
    async def _begin(self) -> list[Coroutine[Any, Any, None]]:
        """Open the source; the work that then goes on until the watch ends."""

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
            EventSpecError: the source can't be read, or the cloud refuses the video.
        """
        try:
            for work in await self._begin():
                self._spawn(work)
            while True:
                if self._failed is not None:
                    raise self._failed
                if self.ready:
                    yield self.state()
                await self._changed.wait()
                self._changed.clear()
        finally:
            await self._end()

    def state(self) -> WatchState:
        """How far it has come."""
        at_ms = (self._tools.clock() - self.started_at) * 1e3
        ready = self.drafter_ready.is_set()
        return WatchState(self.id, self.frames_sent, self.frames, self.bytes_sent, self.complete, ready, at_ms)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except EventSpecError as error:
                self._failed = error
            self._changed.set()

        self._tasks.append(asyncio.create_task(guarded()))

    def _sent(self, frames: int, size: int) -> None:
        self.frames_sent += frames
        self.bytes_sent += size
        self._unclaimed_bytes += size
        self._changed.set()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            with contextlib.suppress(RuntimeError):  # the drafter's thread may be gone already
                await self._tools.thread.run(ahead.close)

    async def _prepare_drafter(self, frames: list[Any]) -> None:
        """Let the drafter take these event frames in; what it had before goes."""
        ahead = await self._tools.thread.run(self._load_ahead, frames)
        before, self._ahead = self._ahead, ahead
        if before is not None:
            await self._tools.thread.run(before.close)
        self.drafter_ready.set()
        self._changed.set()

    def _load_ahead(self, frames: list[Any]) -> AheadDrafter:
        from edge.ahead import AheadDrafter

        ahead = AheadDrafter(self._tools.drafter, frames, self._tools.max_answer_tokens)
        ahead.prepare(self.stages)
        return ahead
