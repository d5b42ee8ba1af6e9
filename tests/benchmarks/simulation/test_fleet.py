"""Fleets: the same seed gives the same run; every token is counted once; answers are the target's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.link.presets import PRESETS
from benchmarks.simulation.cases import ByPosition
from benchmarks.simulation.fleet import Arrivals, Fleet, Questions
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import CLOUD_ONLY, EAGER, MODES, PATIENT, Mode
from benchmarks.simulation.summary import Objectives, percentile, runs_of, summarise
from common.errors import EngineError
from tests.benchmarks.simulation.settings import cases, deployment, one_answer


def _fleet(
    mode: Mode, seed: int = 0, *, clients: int = 6, chance: float = 0.7, slots: int = 8, link: str = "lte"
) -> Fleet:
    on = deployment(link=LinkFigures.of(PRESETS[link]), slots=slots)
    questions = Questions(cases(1, 5, 12, 30, video_bytes=60_000), ByPosition((), chance))
    return Fleet(on, mode, questions, clients, Arrivals(think_s=1.0, start_s=2.0), seed)


def _told(fleet: Fleet) -> str:
    runs, _ = runs_of(fleet, {}, 10_000)
    return json.dumps([(o.client, o.number, o.started_at, o.report) for o in fleet.outcomes]) + repr(runs)


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.label)
def test_a_seed_decides_everything(mode: Mode) -> None:
    first, again, other = _fleet(mode, 3), _fleet(mode, 3), _fleet(mode, 4)
    totals = [fleet.run(12.0) for fleet in (first, again, other)]
    assert _told(first) == _told(again)
    assert totals[0] == totals[1]
    assert _told(first) != _told(other)


@settings(max_examples=25, deadline=None)
@given(
    label=st.sampled_from(sorted(MODES)),
    seed=st.integers(0, 10_000),
    clients=st.integers(1, 12),
    chance=st.floats(0, 1),
    slots=st.integers(1, 12),
    link=st.sampled_from(["lan", "wifi-busy", "lte-poor", "starlink"]),
)
def test_every_token_is_counted_once_and_every_answer_is_the_targets(
    label: str, seed: int, clients: int, chance: float, slots: int, link: str
) -> None:
    fleet = _fleet(MODES[label], seed, clients=clients, chance=chance, slots=slots, link=link)
    fleet.run(8.0)
    assert fleet.unfinished == 0
    verified = [o for o in fleet.outcomes if not o.alone and not o.failure]
    for outcome in verified:
        assert outcome.token_ids == outcome.case.truth
        assert outcome.report["target_passes"] <= len(outcome.token_ids)  # type: ignore[operator]
        assert outcome.report["accepted"] <= outcome.report["drafted"]  # type: ignore[operator]
    committed = fleet.totals().committed
    answered = sum(len(o.token_ids) for o in verified)
    assert answered == committed if len(verified) == len(fleet.outcomes) else answered <= committed
    assert all(cloud.engine.sessions == 0 for cloud in fleet.clouds)
    up = sum(link.uplink.bytes for link in fleet.links)
    told = sum(sum(o.report["uplink_bytes"].values()) for o in fleet.outcomes)  # type: ignore[attr-defined, misc]
    assert up >= told


def test_a_cloud_without_room_leaves_edges_alone_and_says_so() -> None:
    fleet = _fleet(EAGER, clients=60, slots=1, link="lan")
    totals = fleet.run(15.0)
    summary = summarise(fleet, totals, 0.0, 15.0, Objectives())
    assert summary.alone > 0
    alone = _fleet(CLOUD_ONLY, clients=60, slots=1, link="lan")
    summary = summarise(alone, alone.run(15.0), 0.0, 15.0, Objectives())
    assert summary.failed > 0
    assert summary.goodput_share is not None and summary.goodput_share < 1


def test_drafts_save_passes() -> None:
    fleets = {mode.label: _fleet(mode, chance=0.9, link="lan") for mode in (CLOUD_ONLY, EAGER, PATIENT)}
    shares = {}
    for label, fleet in fleets.items():
        totals = fleet.run(20.0)
        shares[label] = totals.chosen_passes / totals.committed
    assert shares["cloud_only"] == 1.0
    assert shares["stream_to_cloud/tokens-patient"] < shares["stream_to_cloud/tokens-eager"] < 0.9


def test_an_answer_that_differs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.simulation.target import KnownTarget

    right = KnownTarget._choices
    monkeypatch.setattr(KnownTarget, "_choices", lambda self, work: [t + 1 for t in right(self, work)])
    with pytest.raises(EngineError, match="differs"):
        one_answer(CLOUD_ONLY, 5, 0.0)


def test_open_loop_clients_ask_whatever_happens() -> None:
    questions = Questions(cases(10), ByPosition((), 0.5))
    fleet = Fleet(deployment(slots=64), CLOUD_ONLY, questions, 50, Arrivals(per_s=0.2), seed=1)
    fleet.run(40.0)
    asked = len(fleet.outcomes)
    assert asked == pytest.approx(50 * 0.2 * 40, rel=0.2)


def test_runs_are_kept_up_to_a_limit() -> None:
    fleet = _fleet(EAGER)
    fleet.run(10.0)
    whole, count = runs_of(fleet, {}, 10_000)
    some, told = runs_of(fleet, {}, 5)
    assert len(whole) == count == told
    assert 0 < len(some) <= 5
    assert all(run.backend == "simulated" and run.replayed == "plain" for run in whole)


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 50) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(i) for i in range(1, 101)], 99) == 99.0
    assert percentile([1.0], 99) == 1.0


def test_more_clouds_take_more_clients() -> None:
    def goodput(clouds: int) -> float:
        on = deployment(slots=4, clouds=clouds)
        fleet = Fleet(on, CLOUD_ONLY, Questions(cases(20), ByPosition((), 0.5)), 40, Arrivals(think_s=2.0), seed=2)
        return summarise(fleet, fleet.run(30.0), 5.0, 30.0, Objectives()).goodput_per_s

    assert goodput(4) > 2 * goodput(1)
