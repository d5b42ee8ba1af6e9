from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.acceptance import Share, curves_of
from benchmarks.report.capacity import best, capacities_of, knee
from benchmarks.report.grid import grids_of
from benchmarks.report.settings import settings_of
from benchmarks.report.sources import Source
from benchmarks.report.traffic import DOWN, traffic_of
from benchmarks.report.word_classes import checked_positions, training_rates, word_classes
from benchmarks.report.wording import data, link_name, milliseconds, number
from benchmarks.results import Run
from tests.benchmarks.report.samples import link, record, run


def sweep(points: dict[tuple[float, float], float], **more: Any) -> list[Source]:
    """A record a point; `points` says how many times as fast stream-to-cloud is."""
    found = []
    for (rtt, up), speed in points.items():
        at = link(rtt, up, **more)
        runs = [run("cloud_only", 120.0, link=at, repetition=i) for i in range(4)]
        runs += [run("stream_to_cloud", 120.0 / speed, link=at, repetition=i) for i in range(4)]
        found.append(Source(f"{rtt}-{up}", record(runs, "sweep")))
    return found


def test_a_grid_has_the_speed_up_of_every_point() -> None:
    points = {(5.0, 2.0): 0.5, (5.0, 20.0): 1.5, (50.0, 2.0): 1.0, (50.0, 20.0): 3.0}
    total, first = grids_of(settings_of(sweep(points)))
    assert (total.metric, first.metric) == ("total_ms", "ttft_ms")
    assert {point: round(cell.ratio, 6) for point, cell in total.cells.items()} == points
    assert (total.rtts, total.uplinks) == ([5.0, 50.0], [2.0, 20.0])
    assert total.breaks_even


def test_one_point_is_no_grid_and_a_sure_win_never_breaks_even() -> None:
    assert grids_of(settings_of(sweep({(5.0, 2.0): 2.0}))) == []
    (grid, _) = grids_of(settings_of(sweep({(5.0, 2.0): 2.0, (50.0, 2.0): 1.5})))
    assert not grid.breaks_even


def test_links_that_differ_in_loss_are_other_grids() -> None:
    clean = sweep({(5.0, 2.0): 2.0, (50.0, 2.0): 2.0})
    lossy = sweep({(5.0, 2.0): 1.0, (50.0, 2.0): 1.0}, loss_pct=1.0)
    assert [grid.fixed for grid in grids_of(settings_of([*clean, *lossy]))] == ["", "", "loss_pct=1.0", "loss_pct=1.0"]


def test_acceptance_by_place_adds_up_over_runs() -> None:
    runs = [
        run("stream_to_cloud", drafted_by_position=[20, 20], accepted_by_position=[20, 10]),
        run("stream_to_cloud", drafted_by_position=[10, 10, 10, 1], accepted_by_position=[10, 0, 0, 0], repetition=1),
        run("cloud_only"),
    ]
    (curve,) = curves_of(settings_of([Source("a", record(runs))]))
    assert [(share.accepted, share.drafted) for share in curve.shares] == [(30, 30), (10, 30), (0, 10)]


@given(st.integers(1, 5000), st.data())
def test_an_interval_holds_its_share(drafted: int, draw: st.DataObject) -> None:
    share = Share("x", draw.draw(st.integers(0, drafted)), drafted)
    low, high = share.interval
    assert 0 <= low <= share.rate <= high <= 1  # exactly: what is drawn must not be negative


def traced(trace: list[list[Any]], tokens: int) -> Run:
    ids = list(range(10, 10 + tokens))
    return run("stream_to_cloud", token_ids=ids, tokens=tokens, extra={"commit_trace": trace})


def test_a_trace_tells_the_positions_that_were_checked() -> None:
    trace = [[1.0, 3, 5, 2], [2.0, 1, 0, 0], [3.0, 2, 2, 2], [4.0, 1, 3, 0]]
    found = checked_positions(traced(trace, 7))
    assert found == [(0, True), (1, True), (2, False), (4, True), (5, True), (6, False)]


@pytest.mark.parametrize("trace", [None, "abc", [[1.0, 2]], [[1.0, 9, 1, 1]], [[1.0, -7, 0, 0]], [3]])
def test_a_trace_that_makes_no_sense_tells_nothing(trace: Any) -> None:
    assert checked_positions(run(extra={"commit_trace": trace})) == []


def test_classes_count_only_runs_that_are_classified() -> None:
    runs = [traced([[1.0, 1, 1, 1]], 1), traced([[1.0, 2, 2, 1]], 2), run()]
    found = word_classes(runs, lambda ids, question: ["shape", "colour"] if len(ids) == 2 else [], None)
    assert found.runs == 1
    assert {share.name: (share.accepted, share.drafted) for share in found.shares} == {
        "shape": (1, 1),
        "colour": (0, 1),
    }


def test_a_position_counts_once_however_often_it_was_asked() -> None:
    again = [traced([[1.0, 2, 2, 1]], 2) for _ in range(5)]
    found = word_classes(again, lambda ids, question: ["shape", "colour"], None)
    assert found.runs == 5
    assert [share.drafted for share in found.shares] == [1, 1]


def test_the_shipped_pairs_own_figures_are_read() -> None:
    rates = training_rates()
    assert rates is not None
    assert rates.rates["colour"] < rates.overall


def test_traffic_is_the_median_by_kind() -> None:
    runs = [
        run("stream_to_cloud", uplink_bytes={"video": v, "drafts": 7, "control": 0}, downlink_bytes=9, repetition=v)
        for v in (1, 5, 9)
    ]
    runs.append(run("edge_only", link={}))
    (traffic,) = traffic_of(settings_of([Source("a", record(runs))])[0])
    assert traffic.kinds == {"video, up": 5, "drafts, up": 7, "control, up": 0, DOWN: 9}


def fleets(**curves: list[tuple[int, float, float]]) -> Source:
    rows = [
        {"paradigm": name, "mode": "", "clients": n, "tokens_per_s": rate, "goodput_share": good, "ttft_p99_ms": None}
        for name, points in curves.items()
        for n, rate, good in points
    ]
    return Source("sim", record([run()], "simulate", fleets=rows, objectives={"ttft_ms": 2000.0, "tpot_ms": 100.0}))


def test_capacity_is_read_by_label_and_number_of_clients() -> None:
    source = fleets(cloud_only=[(10, 5.0, 0.8), (1, 2.0, 1.0)], stream_to_cloud=[(10, 8.0, 1.0)])
    (capacity,) = capacities_of([source])
    cloud, stream = capacity.curves
    assert cloud.of("tokens_per_s") == [(1, 2.0), (10, 5.0)]
    assert cloud.of("ttft_p99_ms") == []
    assert best(stream, "tokens_per_s") == (10, 8.0)
    assert (knee(cloud), knee(stream)) == (1, 10)
    assert "2000 ms" in capacity.objective


def test_the_bound_of_theory_is_read() -> None:
    theory = {"stream_to_cloud": {"gamma": 4.0, "drafter_ms": 2.0, "clients": 1.8, "with_round_trip": 6.0}, "odd": 3}
    fleet = {"paradigm": "stream_to_cloud", "clients": 1, "tokens_per_s": 1.0}
    (capacity,) = capacities_of([Source("a", record([run()], "capacity", fleets=[fleet], theory=theory))])
    (bound,) = capacity.bounds
    assert (bound.label, bound.clients, bound.with_round_trip) == ("stream_to_cloud", 1.8, 6.0)
    assert "gamma 4" in bound.words


def test_files_without_fleets_have_no_capacity() -> None:
    assert capacities_of([Source("a", record([run()]))]) == []
    assert capacities_of([Source("a", record([run()], fleets=[{"clients": "many"}]))]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0"),
        (0.0123, "0.01"),
        (1.5, "1.5"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (100, "100"),
    ],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


def test_links_times_and_bytes_are_words() -> None:
    assert link_name(link(50.0, 10.0)) == "lte, RTT 50 ms, 10 Mbit/s up, 30 down"
    assert link_name(link(5.0, 2.0, name="5ms-2M", downlink_mbps=2.0)) == "RTT 5 ms, 2 Mbit/s up"
    assert link_name({}) == "no link"
    assert (milliseconds(12_345), milliseconds(99.96)) == ("12.3 s", "100 ms")
    assert (data(999), data(40_123), data(2_000_000)) == ("999 B", "40.1 kB", "2 MB")
