"""The schedule of faults: the same seed gives the same faults, whatever part of it is run."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.faults.schedule import MESSAGE_EDGE, MIXTURE, Kind, make_fault, make_schedule
from common.ask import Mode


def test_a_hundred_faults_hold_the_whole_mixture() -> None:
    assert sum(MIXTURE.values()) == 100
    assert set(MIXTURE) == set(Kind)
    for block in range(3):
        kinds = Counter(make_fault(i, 7).kind for i in range(100 * block, 100 * block + 100))
        assert kinds == MIXTURE


def test_the_same_seed_gives_the_same_faults_and_a_part_is_a_part() -> None:
    assert make_schedule(120, 3) == make_schedule(120, 3)
    assert make_schedule(40, 3) == make_schedule(120, 3)[:40]
    assert make_fault(77, 3) == make_schedule(120, 3)[77]
    assert make_schedule(120, 3) != make_schedule(120, 4)


@pytest.mark.parametrize("seed", [0, 1, 2026])
def test_every_fault_makes_sense(seed: int) -> None:
    for fault in make_schedule(400, seed):
        assert 1 <= len(fault.questions) <= 3
        assert -0.3 <= fault.after <= 0.8
        assert fault.describe()
        over_messages = fault.kind in (Kind.REORDER, Kind.DUPLICATE, Kind.DAMAGE)
        assert all((q.edge == MESSAGE_EDGE) == over_messages for q in fault.questions)
        if fault.kind is Kind.CUT:
            assert 0.05 <= fault.seconds <= 30.0


def test_cuts_are_mostly_short_and_sometimes_long() -> None:
    cuts = [f.seconds for f in make_schedule(5000, 1) if f.kind is Kind.CUT]
    assert sum(c < 0.5 for c in cuts) > len(cuts) / 2
    assert max(cuts) == 30.0


def test_all_modes_that_use_the_cloud_are_struck_several_answers_at_once() -> None:
    faults = make_schedule(200, 1)
    assert {q.mode for f in faults for q in f.questions} == set(Mode) - {Mode.EDGE_ONLY}
    assert sum(len(f.questions) > 1 for f in faults) > 100
