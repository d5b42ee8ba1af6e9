"""Figures of one answer: times by the edge's clock, rates that are what their names say, in every ending."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Commit, Opened, Progress, Stage, StepTimings
from edge.figures import Figures


def commit(
    start: int, count: int, *, drafted: int = 0, accepted: int = 0, draft_id: int = 0, queue: int = 0, forward: int = 0
) -> Commit:
    return Commit(start, (5,) * count, drafted, accepted, draft_id, 1, StepTimings(queue, forward))


def test_times_of_a_verified_answer() -> None:
    figures = Figures(started_at=100.0)
    figures.provisional(100.2)
    figures.provisional(100.9)
    figures.commit(commit(0, 1), 1, 100.5)
    figures.commit(commit(1, 4, drafted=4, accepted=3), 4, 100.7)
    figures.commit(commit(5, 3, drafted=2, accepted=2), 3, 101.2)
    figures.finished_at = 101.3
    report = figures.report(8)
    assert report["ttft_ms"] == 500.0
    assert report["ttft_provisional_ms"] == 200.0
    assert report["tpot_ms"] == 100.0
    assert report["total_ms"] == 1300.0
    assert json.loads(json.dumps(report)) == report


def test_rates() -> None:
    figures = Figures(started_at=1.0)
    figures.draft_tokens_made = 12
    figures.commit(commit(0, 1), 1, 2.0)  # without a draft: no verification
    figures.commit(commit(1, 3, drafted=4, accepted=2), 3, 3.0)
    figures.commit(commit(4, 3, drafted=2, accepted=2), 3, 4.0)
    figures.commit(commit(7, 1, drafted=3, accepted=0), 1, 5.0)
    report = figures.report(8)
    assert (report["drafted"], report["accepted"], report["verifications"]) == (9, 4, 3)
    assert report["acceptance_rate"] == round(4 / 9, 4)
    assert report["mean_acceptance_length"] == round(7 / 3, 4)  # bonus and correction included
    assert report["drafted_by_position"] == [3, 3, 2, 1]
    assert report["accepted_by_position"] == [2, 2, 0, 0]
    assert report["draft_tokens_wasted"] == 8
    assert report["target_passes"] == 4


def test_the_network_is_the_round_trip_without_the_clouds_share() -> None:
    figures = Figures(started_at=1.0)
    for draft_id, trip in enumerate((0.050, 0.010, 0.200), start=1):
        figures.sent_draft(draft_id, 4, 2.0)
        figures.commit(commit(0, 1, draft_id=draft_id, queue=3_000, forward=2_000), 1, 2.0 + trip)
    figures.commit(commit(0, 1, draft_id=3, forward=2_000), 1, 9.0)  # the same draft again says nothing
    figures.commit(commit(0, 1, draft_id=99), 1, 9.0)
    report = figures.report(5)
    assert report["round_trip_ms"] == 45.0
    assert report["cloud_forward_ms"] == 8.0


def test_a_cloud_that_claims_more_time_than_passed_gives_no_negative_trip() -> None:
    figures = Figures(started_at=1.0)
    figures.sent_draft(1, 4, 2.0)
    figures.commit(commit(0, 1, draft_id=1, forward=9_000_000), 1, 2.1)
    assert figures.report(1)["round_trip_ms"] == 0.0


@pytest.mark.parametrize("tokens", [0, 1])
def test_what_is_undefined_is_none(tokens: int) -> None:
    figures = Figures(started_at=1.0)
    figures.finished_at = 2.0
    if tokens:
        figures.commit(commit(0, 1), 1, 1.5)
    report = figures.report(tokens)
    assert report["tpot_ms"] is None
    assert report["acceptance_rate"] is None
    assert report["mean_acceptance_length"] is None
    assert report["round_trip_ms"] is None
    assert report["ttft_ms"] == (500.0 if tokens else None)


def test_alone_from_the_start_the_times_are_the_drafters() -> None:
    figures = Figures(started_at=1.0, alone=True)
    for at in (1.25, 1.5, 2.0):
        figures.provisional(at)
    figures.finished_at = 2.0
    report = figures.report(4)
    assert (report["ttft_ms"], report["tpot_ms"], report["total_ms"]) == (250.0, 250.0, 1000.0)


def test_alone_after_a_loss_the_first_token_is_the_clouds() -> None:
    figures = Figures(started_at=1.0, alone=True)
    figures.provisional(1.1)
    figures.commit(commit(0, 2), 2, 1.5)
    figures.provisional(2.5)
    report = figures.report(6)
    assert (report["ttft_ms"], report["tpot_ms"]) == (500.0, 200.0)


def test_alone_with_everything_drafted_before_the_loss_time_runs_forward() -> None:
    figures = Figures(started_at=1.0, alone=True)
    figures.provisional(1.1)
    figures.commit(commit(0, 1), 1, 1.5)
    figures.commit(commit(1, 1), 1, 1.7)
    assert figures.report(3)["tpot_ms"] == 100.0


def test_stages_of_both_sides_lie_on_one_timeline() -> None:
    figures = Figures(started_at=10.0)
    figures.opened_at = 10.25
    figures.stage("load", "edge", 0.0, 12.0)
    figures.progress(Progress(Stage.PREFILL, 5_000, 20_000))
    assert figures.report(0)["stages"] == [
        {"name": "load", "side": "edge", "start_ms": 0.0, "end_ms": 12.0},
        {"name": "prefill", "side": "cloud", "start_ms": 255.0, "end_ms": 275.0},
    ]


def test_the_clouds_spans_lie_half_a_round_trip_before_the_edge_heard_of_them() -> None:
    figures = Figures(started_at=10.0)
    figures.introduced_at = 10.1
    figures.opened(Opened("session-0", 20, 16), 10.14)
    figures.progress(Progress(Stage.PREFILL, 5_000, 20_000))
    figures.commit(commit(0, 3, drafted=2, accepted=2, forward=20_000), 3, 10.2)
    figures.commit(commit(3, 3, drafted=4, accepted=2, forward=7_000), 3, 10.3)
    figures.commit(commit(6, 1, forward=4_000), 1, 10.4)
    assert [tuple(span.values()) for span in figures.report(7)["stages"]] == [
        ("prefill", "cloud", 125.0, 145.0),  # the first commit's pass is its end
        ("verify", "cloud", 273.0, 280.0),
        ("decode", "cloud", 376.0, 380.0),
    ]
    figures.round_trips_ms.append(10.0)  # a shorter one was measured
    assert figures.report(7)["stages"][-1]["end_ms"] == 395.0


def test_commits_as_they_came_and_what_was_drafted_before() -> None:
    figures = Figures(started_at=1.0)
    figures.draft_tokens_made = 5
    figures.commit(commit(0, 3, drafted=5, accepted=2), 3, 1.5)
    figures.draft_tokens_made = 9
    figures.commit(commit(3, 1), 1, 1.625)
    report = figures.report(4)
    assert report["free_drafts"] == 5
    assert report["commit_trace"] == [[500.0, 3, 5, 2], [625.0, 1, 0, 0]]


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.floats(0, 2)), min_size=1, max_size=20),
    st.booleans(),
    st.floats(0, 3),
)
def test_figures_never_contradict_themselves(
    passes: list[tuple[int, int, float]], alone: bool, provisional: float
) -> None:
    figures = Figures(started_at=5.0, alone=alone)
    figures.provisional(5.0 + provisional)
    now, position = 5.0, 0
    for drafted, accepted, wait in passes:
        now += wait
        accepted = min(drafted, accepted)
        figures.draft_tokens_made += drafted
        figures.commit(commit(position, accepted + 1, drafted=drafted, accepted=accepted), accepted + 1, now)
        position += accepted + 1
    figures.finished_at = now
    report = figures.report(position)
    assert sum(report["drafted_by_position"]) == report["drafted"]
    assert sum(report["accepted_by_position"]) == report["accepted"] <= report["drafted"]
    assert report["draft_tokens_wasted"] == report["drafted"] - report["accepted"]
    assert report["tpot_ms"] is None or report["tpot_ms"] >= 0
    assert report["ttft_ms"] <= report["total_ms"]
    if report["verifications"]:
        assert 1 <= report["mean_acceptance_length"] <= 9
