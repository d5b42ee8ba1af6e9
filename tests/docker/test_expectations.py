"""The latency test's own judgements: each can fail."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.link.presets import preset
from benchmarks.results import Run
from tests.docker.expectations import wrong_answers, wrong_growth, wrong_round_trip, wrong_times

NEAR, LINK = preset("lan"), preset("transatlantic")


def a_run(
    paradigm: str, mode: str = "", *, total_ms: float = 400.0, ttft_ms: float = 200.0, ids: tuple[int, ...] = (5, 2)
) -> Run:
    return Run(paradigm, mode, {}, "tun", "race", "what moves?", 0, 0, ids, len(ids), ttft_ms, 5.0, total_ms)


CLOUD, STREAM = a_run("cloud_only"), a_run("stream_to_cloud", "tokens-eager")
PATIENT = a_run("stream_to_cloud", "tokens-patient")


def test_sane_results_pass() -> None:
    assert wrong_round_trip(LINK, [LINK.rtt_ms] * 5) is None
    assert wrong_answers([CLOUD, STREAM, PATIENT]) == []
    assert wrong_times(LINK, [CLOUD, STREAM, PATIENT]) == []
    assert wrong_growth(NEAR, [replace(CLOUD, ttft_ms=100.0)], LINK, [CLOUD]) is None


def test_another_round_trip() -> None:
    assert wrong_round_trip(LINK, [1.0, 1.0, LINK.rtt_ms]) is not None
    assert wrong_round_trip(LINK, [2 * LINK.rtt_ms] * 3) is not None


def test_other_token_ids() -> None:
    assert wrong_answers([CLOUD, replace(STREAM, token_ids=(5, 3, 2))]) != []
    assert wrong_answers([replace(run, token_ids=()) for run in (CLOUD, STREAM)]) != []
    assert wrong_answers([CLOUD, STREAM, replace(CLOUD, question="how many?")]) != []


def test_lossy_answers_may_differ() -> None:
    assert wrong_answers([CLOUD, replace(a_run("edge_only", ids=(1, 2)), lossless=False)]) == []


def test_impossible_times() -> None:
    assert wrong_times(LINK, [CLOUD, replace(STREAM, ttft_ms=10.0)]) != []
    assert wrong_times(LINK, [CLOUD, replace(STREAM, total_ms=20.0)]) != []
    assert wrong_times(LINK, [CLOUD, replace(STREAM, total_ms=4000.0)]) != []


def test_who_waits_for_round_trips_may_take_longer() -> None:
    assert wrong_times(LINK, [CLOUD, replace(PATIENT, total_ms=1500.0)]) == []
    assert wrong_times(LINK, [CLOUD, replace(PATIENT, total_ms=4000.0)]) != []


def test_a_link_that_does_not_show() -> None:
    assert wrong_growth(NEAR, [CLOUD], LINK, [CLOUD]) is not None


def test_whose_clip_went_up_before_may_take_a_small_part() -> None:
    ahead = a_run("stream_to_cloud", "tokens-eager-ahead", total_ms=20.0)
    assert wrong_times(LINK, [CLOUD, ahead]) == []
    assert wrong_times(LINK, [CLOUD, replace(ahead, total_ms=4.0)]) != []
    assert wrong_times(LINK, [CLOUD, replace(ahead, total_ms=1500.0)]) != []
    assert wrong_times(LINK, [CLOUD, a_run("stream_to_cloud", "tokens-patient-ahead", total_ms=1500.0)]) == []
