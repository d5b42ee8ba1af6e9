from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paradigms.statistics import Spread, by_label, paired_ratios, percentile
from tests.benchmarks.paradigms.made import made_run

values = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=40)


@given(values)
def test_a_spread_is_in_order_and_has_the_median(numbers: list[float]) -> None:
    spread = Spread.of(numbers)
    assert spread is not None
    assert min(numbers) <= spread.low <= spread.median <= spread.high <= max(numbers) * (1 + 1e-12)
    assert spread.median == pytest.approx(median(numbers))
    assert spread.count == len(numbers)


def test_missing_values_count_for_nothing() -> None:
    assert Spread.of([None, 3.0, None]) == Spread(3.0, 3.0, 3.0, 1)
    assert Spread.of([None]) is None


def test_ratios_pair_the_same_question_and_repetition() -> None:
    base = [made_run(total_ms=100.0), made_run(question="?", total_ms=1000.0), made_run(repetition=1, total_ms=50.0)]
    runs = [
        made_run("colocated", total_ms=50.0),
        made_run("colocated", question="?", total_ms=2000.0),
        made_run("colocated", repetition=1, total_ms=50.0),
        made_run("colocated", repetition=2, total_ms=1.0),  # nothing to compare with
    ]
    assert paired_ratios(runs, base, lambda run: run.total_ms) == [0.5, 2.0, 1.0]


def test_runs_without_the_figure_have_no_ratio() -> None:
    assert paired_ratios([made_run(ttft_ms=None)], [made_run()], lambda run: run.ttft_ms) == []


def test_groups_keep_the_order_of_appearance() -> None:
    runs = [made_run("b"), made_run("a", "x"), made_run("b")]
    assert {label: len(group) for label, group in by_label(runs).items()} == {"b": 2, "a/x": 1}


@given(values, st.floats(0, 1))
def test_a_percentile_lies_between_its_neighbours(numbers: list[float], share: float) -> None:
    value = percentile(numbers, share)
    assert value is not None
    assert min(numbers) <= value <= max(numbers) * (1 + 1e-12)
    assert percentile(numbers, 1.0) == pytest.approx(max(numbers))
    assert percentile([], share) is None
