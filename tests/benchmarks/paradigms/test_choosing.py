from __future__ import annotations

import pytest

from benchmarks.paradigms.choosing import Conditions, choices, choose_measured, choose_paradigm
from tests.benchmarks.paradigms.made import made_run


@pytest.mark.parametrize(
    ("conditions", "paradigm"),
    [
        (Conditions(), "stream_to_cloud"),
        (Conditions(private=True, rtt_ms=1000.0), "edge_only"),
        (Conditions(rtt_ms=50.0, uplink_mbps=10.0), "stream_to_cloud"),
        (Conditions(rtt_ms=50.1), "edge_vision"),
        (Conditions(uplink_mbps=9.9), "edge_vision"),
        (Conditions(edge_tflops=51.0), "edge_vision"),
        (Conditions(edge_memory_gb=3.0), "stream_to_cloud"),
    ],
)
def test_thresholds_of_the_log(conditions: Conditions, paradigm: str) -> None:
    assert choose_paradigm(conditions).paradigm == paradigm


def test_the_measured_choice_is_the_fastest_lossless_one_over_the_link() -> None:
    runs = [
        made_run(total_ms=100.0),
        made_run("stream_to_cloud", "tokens-eager", total_ms=60.0),
        made_run("colocated", total_ms=80.0),
        made_run("edge_only", total_ms=5.0, lossless=False),
        made_run("in_process", "generate", total_ms=10.0),
    ]
    choice = choose_measured(runs)
    assert choice is not None
    assert choice.paradigm == "stream_to_cloud/tokens-eager"
    assert "0.60" in choice.why and "spread" not in choice.why


def test_cloud_only_wins_where_nothing_beats_it() -> None:
    choice = choose_measured([made_run(total_ms=100.0), made_run("colocated", total_ms=110.0)])
    assert choice is not None
    assert (choice.paradigm, "1.10" in choice.why) == ("cloud_only", True)


def test_a_lead_within_the_spread_is_called_so() -> None:
    totals = [70.0, 90.0, 95.0, 120.0, 130.0]
    runs = [made_run(repetition=n, total_ms=100.0) for n in range(5)]
    runs += [made_run("colocated", repetition=n, total_ms=total) for n, total in enumerate(totals)]
    choice = choose_measured(runs)
    assert choice is not None
    assert choice.paradigm == "colocated" and "within the spread" in choice.why


def test_what_is_streamed_ahead_is_chosen_among_its_own_kind() -> None:
    runs = [
        made_run(total_ms=100.0),
        made_run("stream_to_cloud", "tokens-eager", total_ms=60.0),
        made_run("stream_to_cloud", "tokens-eager-ahead", total_ms=20.0),
        made_run("cloud_only", "ahead", total_ms=30.0),
    ]
    found = choices({}, runs)
    assert found["by_measurement"]["paradigm"] == "stream_to_cloud/tokens-eager"
    assert found["by_measurement_ahead"]["paradigm"] == "stream_to_cloud/tokens-eager-ahead"
    assert "cloud_only/ahead 0.30x" in found["by_measurement_ahead"]["why"]
    assert choices({}, runs[:2])["by_measurement_ahead"] is None


def test_without_cloud_only_nothing_is_chosen_by_measurement() -> None:
    assert choose_measured([made_run("colocated")]) is None
    assert choices({"rtt_ms": 5.0, "uplink_mbps": 50.0}, [made_run("colocated")])["by_measurement"] is None


def test_runs_that_took_no_time_are_nothing_to_compare_with() -> None:
    runs = [made_run(total_ms=0.0), made_run("colocated", total_ms=0.0), made_run("cloud_only", "ahead", total_ms=0.0)]
    assert choose_measured(runs) is None
    assert choices({}, runs)["by_measurement_ahead"] is None
    one_left = [*runs, made_run(repetition=1, total_ms=10.0), made_run("colocated", repetition=1, total_ms=5.0)]
    choice = choose_measured(one_left)
    assert choice is not None and choice.paradigm == "colocated"
