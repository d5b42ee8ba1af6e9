"""Rounds out of a report, and a newcomer's delay on a clock that only the runner moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.delay_figure import Newcomer
from benchmarks.round_figures import rounds_of
from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.runner import ForwardResult, Work
from cloud.scheduler import Budget
from tests.fakes import VIDEO_FRAMES, FakeRunner


def test_a_round_counts_from_the_drafters_end_and_without_the_clouds_share() -> None:
    report = {
        "ttft_ms": 50.0,
        "stages": [
            {"name": "draft", "start_ms": 10.0, "end_ms": 20.0},
            {"name": "draft", "start_ms": 55.0, "end_ms": 60.0},
            {"name": "prefill", "start_ms": 0.0, "end_ms": 61.0},
        ],
        "draft_trace": [[20.5, 50.0, 20.0, 5.0], [60.5, 80.0, 2.0, 10.0]],
    }
    (one,) = rounds_of(report)  # the first commit waited for the prompt
    assert (one.whole_ms, one.queue_ms, one.forward_ms) == (19.5, 2.0, 10.0)
    assert one.link_ms == pytest.approx(7.5) and one.handover_ms == pytest.approx(0.5)


def test_a_queue_that_began_before_sending_isnt_counted_twice() -> None:
    report = {"ttft_ms": 0.0, "stages": [{"name": "draft", "end_ms": 1.0}], "draft_trace": [[1.0, 5.0, 4.0, 3.0]]}
    assert rounds_of(report)[0].link_ms == 0.0


class SlowRunner(FakeRunner):
    """Moves its clock: 10 ms a frame, and for a pass 1 ms and 0.5 ms a row. No answer ends by itself."""

    eos_token_ids = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        self.time += (took := 0.01 * len(pixels))
        super().encode(slot, pixels)
        return round(took * 1e6)

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        choices = super().forward(works).choices
        self.time += (took := 0.001 + 0.0005 * self.rows[-1])
        return ForwardResult(choices, round(took * 1e6))


@pytest.mark.parametrize("prompt_chunk", [8, 16, 512])
def test_a_newcomer_delays_a_running_session_by_at_most_one_chunk(prompt_chunk: int) -> None:
    runner = SlowRunner()
    limits = EngineLimits(max_prompt_tokens=100, budget=Budget(prompt_chunk=prompt_chunk, least_chunk=1))
    newcomer = Newcomer(
        Engine(runner, limits), "what moves?" * 9, runner.pixels_shape, VIDEO_FRAMES, lambda: runner.time
    )
    delay = newcomer.measure()
    assert delay.plain_s == pytest.approx(0.0015)
    assert 0.9 <= delay.chunks <= 1.0
    assert delay.steps > 1
