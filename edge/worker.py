"""The drafter's one thread. All torch work of the edge runs here, in order, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from edge.actions import BranchJob, DraftJob
from edge.branches import Branched
from edge.forms import StateRows

T = TypeVar("T")
_LOOK_S = 0.01


class Drafting(Protocol):
    """A drafter as the runner needs it (`edge.drafter.Drafter`, or a stand-in in tests)."""

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """Take the prompt and the event frames in."""

    def draft(self, count: int) -> list[int]:
        """Up to `count` tokens; fewer only after an end of sequence."""

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """The answer from `position` on is `ids`."""


@runtime_checkable
class StateSource(Protocol):
    """A drafter whose drafts travel as states."""

    def take_states(self) -> StateRows:
        """The states that are new since the last call."""


@runtime_checkable
class Branching(Protocol):
    """A drafter that can say what else it could have said, and go on from there."""

    def branch(self, job: BranchJob) -> Branched:
        """Go to where the job says, draft what it says, and tell of the positions that it names."""


@runtime_checkable
class Learns(Protocol):
    """A drafter that learns from answers (`edge.distilling.LearningDrafter`)."""

    def learn(self, committed: Sequence[int]) -> None:
        """The answer is over, and this is what the cloud committed."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a job made."""

    ids: list[int]
    states: StateRows | None = None


class DraftingThread:
    """One thread for all sessions' drafters."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drafter")
        self._under_way = 0

    @property
    def busy(self) -> bool:
        """Somebody's work is being done, or waits."""
        return self._under_way > 0

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Run `work` in the thread; returns its result or raises its error."""
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        finally:
            self._under_way -= 1

    async def draft(self, drafter: Drafting, job: DraftJob) -> Drafted:
        """Do a job: roll back or fast-forward if it says so, then draft."""
        return await self.run(do_job, drafter, job)

    def close(self) -> None:
        """Finish the running job and end the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def leave(self, within_s: float) -> bool:
        """End the thread after the running job; returns False if that takes longer, and doesn't wait for it."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        ends = asyncio.get_running_loop().time() + within_s
        while self.busy and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(_LOOK_S)
        return not self.busy


def do_job(drafter: Drafting, job: DraftJob) -> Drafted:
    """What `DraftingThread.draft` does in its thread."""
    if job.tokens:
        drafter.commit(job.position, job.tokens)
    ids = drafter.draft(job.count)
    return Drafted(ids, drafter.take_states() if isinstance(drafter, StateSource) else None)
