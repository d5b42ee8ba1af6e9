from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paradigms.capacity import Objectives, Theory, fleet_figures, most_clients, theory_of
from tests.benchmarks.paradigms.made import made_run

GOOD = Objectives(ttft_ms=200.0, tpot_ms=20.0)


def test_tokens_of_an_answer_that_ends_later_count_by_their_share() -> None:
    inside = made_run(tokens=10, total_ms=1000.0, extra={"asked_at_s": 0.0})
    across = made_run(tokens=10, total_ms=2000.0, extra={"asked_at_s": 9.0})
    figures = fleet_figures([inside, across], clients=1, window_s=10.0, objectives=GOOD)
    assert figures.tokens_per_s == pytest.approx((10 + 5) / 10)
    assert figures.goodput_per_s == pytest.approx(1.5 / 10)


@given(st.lists(st.tuples(st.floats(1, 400), st.floats(1, 40)), min_size=1, max_size=20))
def test_goodput_counts_exactly_the_answers_within_both_objectives(times: list[tuple[float, float]]) -> None:
    runs = [made_run(ttft_ms=ttft, tpot_ms=tpot, extra={"asked_at_s": 0.0}) for ttft, tpot in times]
    figures = fleet_figures(runs, clients=2, window_s=10.0, objectives=GOOD)
    good = sum(ttft <= 200 and tpot <= 20 for ttft, tpot in times)
    assert figures.goodput_share == pytest.approx(good / len(times))


def test_an_answer_of_one_token_has_only_its_first_to_be_late() -> None:
    assert GOOD.met(made_run(tpot_ms=None))
    assert not GOOD.met(made_run(ttft_ms=None))


def test_the_bound() -> None:
    theory = Theory(gamma=5.0, drafter_ms=4.0, verify_ms=10.0, round_trip_ms=20.0)
    assert (theory.clients, theory.with_round_trip) == (3.0, 5.0)


def test_theory_takes_its_figures_from_runs() -> None:
    stages = [{"name": "draft", "side": "edge", "start_ms": 0.0, "end_ms": 30.0}]
    run = made_run(
        "stream_to_cloud",
        "tokens-patient",
        link={"rtt_ms": 50.0},
        drafted=8,
        verifications=2,
        target_passes=4,
        stages=stages,
        extra={"draft_tokens_made": 10, "cloud_forward_ms": 40.0},
    )
    assert theory_of([run]) == Theory(4.0, 3.0, 10.0, 50.0)
    assert theory_of([made_run()]) is None


def test_most_clients_is_the_largest_count_that_still_does() -> None:
    def fleet(clients: int, slow: int) -> object:
        runs = [made_run(ttft_ms=999.0 if n < slow else 1.0, extra={"asked_at_s": 0.0}) for n in range(10)]
        return fleet_figures(runs, clients, 10.0, GOOD)

    assert most_clients([fleet(1, 0), fleet(2, 1), fleet(4, 2)]) == 2  # type: ignore[list-item]
    assert most_clients([fleet(1, 9)]) == 0  # type: ignore[list-item]
