from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from common.replay import load_profile
from edge.stages import StagedDrafter, Stages
from tests.common.test_padding import Clock

TIMES = load_profile("7b-4bit-24gb")


class Inner:
    def __init__(self, clock: Clock, work_s: float = 0.0) -> None:
        self.clock = clock
        self.work_s = work_s
        self.closed = False

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        return None

    def draft(self, count: int) -> list[int]:
        self.clock.now += self.work_s
        return list(range(count))

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """Nothing."""

    def close(self) -> None:
        self.closed = True


def test_spans_without_a_profile_take_what_they_take() -> None:
    clock = Clock()
    stages = Stages(clock=clock, sleep=clock.sleep)
    drafter = StagedDrafter(Inner(clock, 0.25), stages)
    assert drafter.draft(3) == [0, 1, 2]
    (span,) = stages.spans
    assert (span.name, span.started, span.ended, span.overrun) == ("draft", 10.0, 10.25, False)
    assert stages.overruns == 0


def test_a_drafted_token_costs_a_pass_but_for_the_first_after_the_prompt() -> None:
    clock = Clock()
    drafter = StagedDrafter(Inner(clock), Stages(TIMES, clock=clock, sleep=clock.sleep))
    took = []
    for count in (4, 4, 0):
        before = clock.now
        drafter.draft(count)
        took.append((clock.now - before) * 1e3)
    assert took == pytest.approx([3 * TIMES.drafter.token_ms, 4 * TIMES.drafter.token_ms, 0])
    drafter = StagedDrafter(Inner(clock), Stages(TIMES, clock=clock, sleep=clock.sleep))
    drafter.commit(0, [7])
    before = clock.now
    drafter.draft(2)
    assert (clock.now - before) * 1e3 == pytest.approx(2 * TIMES.drafter.token_ms)


def test_overruns_are_counted() -> None:
    clock = Clock()
    stages = Stages(TIMES, clock=clock, sleep=clock.sleep)
    StagedDrafter(Inner(clock, 1.0), stages).draft(4)
    with stages.span("rasterise"):
        clock.now += 9
    assert stages.overruns == 1
    assert [span.overrun for span in stages.spans] == [True, False]


def test_a_long_answer_keeps_few_spans_but_counts_all() -> None:
    clock = Clock()
    stages = Stages(TIMES, clock=clock, sleep=clock.sleep)
    drafter = StagedDrafter(Inner(clock, 1.0), stages)
    for _ in range(300):
        drafter.draft(4)
    assert len(stages.spans) == 200
    assert stages.overruns == 300


def test_closing_reaches_the_drafter() -> None:
    inner = Inner(Clock())
    StagedDrafter(inner, Stages()).close()
    assert inner.closed
