"""Spans of one answer's work in the edge's threads, and their padding where a profile of stage times is replayed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from common.padding import Padding
from common.replay import StageTimes
from edge.actions import BranchJob
from edge.branches import Branched
from edge.worker import Branching, Drafting

_KEPT = 200  # spans of one name: a long answer's report stays small


@dataclass(frozen=True, slots=True)
class Span:
    """A stage's work, by the clock of its `Stages`, in seconds."""

    name: str
    started: float
    ended: float
    overrun: bool = False


@dataclass(slots=True)
class Plan:
    """What a replayed profile says of the stage under way, in milliseconds; may be set while it runs. 0: nothing."""

    ms: float = 0.0


class Stages:
    """One answer's spans. Any thread may add some: the edge's drafter thread and those that read files do.

    Attributes:
        replay: the profile that stages are padded to, if any.
        spans: what was done, in the order in which it ended; at most 200 of one name.
        overruns: stages that took longer than the profile by themselves.
    """

    def __init__(
        self,
        replay: StageTimes | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.replay = replay
        self.spans: list[Span] = []
        self._clock = clock
        self._sleep = sleep
        self._all: Counter[tuple[str, bool]] = Counter()

    @property
    def overruns(self) -> int:
        """Stages that took longer than the profile by themselves."""
        return sum(count for (_, overrun), count in self._all.items() if overrun)

    @contextmanager
    def span(self, name: str, planned_ms: float = 0.0) -> Iterator[Plan]:
        """Time a stage, and make it last as long as planned; blocks, so never on the event loop."""
        plan = Plan(planned_ms)
        started = self._clock()
        yield plan
        padding = Padding(self._clock, self._sleep)
        ended = padding.wait(started, plan.ms)
        overrun = padding.overruns > 0
        self._all[name, overrun] += 1
        if self._all[name, True] + self._all[name, False] <= _KEPT:
            self.spans.append(Span(name, started, ended, overrun))

    def overran(self, name: str, times: int) -> None:
        """Count overruns of work that pads itself."""
        self._all[name, True] += times
        self._all[name, False] -= times


class StagedDrafter:
    """Implements `Drafting` around a drafter that has its prompt: a `draft` span a job, at the profile's pace."""

    def __init__(self, inner: Drafting, stages: Stages) -> None:
        self._inner = inner
        self._stages = stages
        self._times = stages.replay.drafter if stages.replay is not None else None
        self._ready = 1  # tokens that need no pass: the prompt's own gave the state that chooses the first

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """Take the prompt and the event frames in."""
        self._ready = 1
        return self._inner.prefill(prompt_ids, frames)

    def draft(self, count: int) -> list[int]:
        """Up to `count` tokens, each a pass of the drafter."""
        with self._stages.span("draft") as plan:
            ids = self._inner.draft(count)
            if self._times is not None:
                plan.ms = self._times.draft_ms(max(0, len(ids) - self._ready))
        if ids:
            self._ready = 0
        return ids

    def branch(self, job: BranchJob) -> Branched:
        """What a drafter that would idle does: a `branch` span for each token, none for a mere question."""
        assert isinstance(self._inner, Branching)
        if not job.count:
            return self._inner.branch(job)
        with self._stages.span("branch") as plan:
            made = self._inner.branch(job)
            if self._times is not None:
                plan.ms = self._times.draft_ms(len(made.ids))
        return made

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """The answer from `position` on is `ids`."""
        self._ready = 0
        self._inner.commit(position, ids)

    def close(self) -> None:
        """Free what the drafter holds."""
        if hasattr(self._inner, "close"):
            self._inner.close()
