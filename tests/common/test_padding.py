from __future__ import annotations

import pytest

from common.padding import Padding


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def test_waits_for_what_is_left() -> None:
    clock = Clock()
    padding = Padding(clock, clock.sleep)
    started = padding.now()
    clock.now += 0.030
    assert padding.wait(started, 100) == pytest.approx(started + 0.1)
    assert padding.overruns == 0


def test_counts_what_took_longer() -> None:
    clock = Clock()
    padding = Padding(clock, clock.sleep)
    started = padding.now()
    clock.now += 0.150
    assert padding.wait(started, 100) == clock.now == pytest.approx(started + 0.15)
    assert padding.overruns == 1
    assert padding.overrun_s == pytest.approx(0.05)


def test_a_stage_that_nobody_measured_is_left_alone() -> None:
    clock = Clock()
    padding = Padding(clock, clock.sleep)
    clock.now += 5
    assert padding.wait(10.0, 0) == clock.now == 15.0
    assert padding.overruns == 0
