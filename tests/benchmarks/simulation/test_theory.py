"""Closed forms that the simulation must give where nothing interferes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.simulation.fleet import Fleet
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import CLOUD_ONLY, EAGER, PATIENT
from tests.benchmarks.simulation.settings import (
    DECODE_MS,
    PREFILL_MS,
    STEP_MS,
    TOKEN_MS,
    VISION_MS,
    deployment,
    one_answer,
    plain_times,
)


def _report(fleet: Fleet) -> dict[str, float]:
    (outcome,) = fleet.outcomes
    assert outcome.failure == "" and not outcome.alone
    return outcome.report  # type: ignore[return-value]


@pytest.mark.parametrize("length", [2, 17, 60])
def test_cloud_only_takes_a_step_a_token(length: int) -> None:
    report = _report(one_answer(CLOUD_ONLY, length, 0.0))
    assert report["tpot_ms"] == pytest.approx(STEP_MS)
    assert report["target_passes"] == length
    assert report["drafted"] == 0


def test_cloud_only_first_token_adds_up() -> None:
    report = _report(one_answer(CLOUD_ONLY, 10, 0.0, deployment(link=LinkFigures(rtt=0.1))))
    there, back = 50, 50
    # at best half of the frames are prefilled while the others are decoded; at worst two passes do what one could
    assert there + DECODE_MS + VISION_MS + PREFILL_MS / 2 + back <= report["ttft_ms"]
    assert report["ttft_ms"] <= there + DECODE_MS + 2 * VISION_MS + PREFILL_MS + STEP_MS + back
    assert report["total_ms"] == pytest.approx(report["ttft_ms"] + 9 * STEP_MS)


@pytest.mark.parametrize(("gamma", "length"), [(4, 41), (3, 24), (8, 50)])
def test_patient_with_a_perfect_drafter_takes_a_pass_for_a_draft_and_one(gamma: int, length: int) -> None:
    # a slow target and a fast drafter: whole drafts are at hand whenever the target is ready
    times = plain_times(drafter__token_ms=0.1)
    mode = replace(PATIENT, draft_length=gamma, patience_ms=1000)
    report = _report(one_answer(mode, length, 1.0, deployment(times, max_ahead=gamma)))
    # the bonus makes the next draft's first token late; what is verified is then the rest of it, or a fresh draft
    assert length / (gamma + 1) <= report["target_passes"] <= -(-length // gamma) + 1
    assert report["accepted"] == report["drafted"]


def test_patient_on_a_slow_drafter_waits_for_the_draft() -> None:
    times = plain_times(drafter__token_ms=20)
    mode = replace(PATIENT, draft_length=4, patience_ms=5000)
    report = _report(one_answer(mode, 50, 1.0, deployment(times, max_ahead=4)))
    # a round: four tokens drafted, verified with a bonus
    assert report["target_passes"] == pytest.approx(50 / 5, abs=1)
    assert report["tpot_ms"] == pytest.approx((4 * 20 + STEP_MS) / 5, rel=0.1)


def test_a_drafter_that_is_never_right_costs_the_patient_a_wait_a_token() -> None:
    mode = replace(PATIENT, draft_length=1, patience_ms=5000)
    report = _report(one_answer(mode, 30, 0.0, deployment(max_ahead=1)))
    assert report["accepted"] == 0
    assert report["target_passes"] == 30
    assert report["tpot_ms"] == pytest.approx(TOKEN_MS + STEP_MS, rel=0.05)


def test_eager_is_never_slower_than_alone() -> None:
    alone = _report(one_answer(CLOUD_ONLY, 40, 0.0))
    for chance in (0.0, 0.5, 1.0):
        # a draft that rides with the prompt makes that pass a few rows longer
        assert _report(one_answer(EAGER, 40, chance))["total_ms"] <= alone["total_ms"] + 2


def test_a_round_trip_delays_the_patient_and_not_the_lonely() -> None:
    near, far = deployment(), deployment(link=LinkFigures(rtt=0.2))
    mode = replace(PATIENT, draft_length=4, patience_ms=5000)
    assert _report(one_answer(CLOUD_ONLY, 20, 0.0, far))["tpot_ms"] == pytest.approx(STEP_MS)
    assert _report(one_answer(mode, 20, 0.5, far))["tpot_ms"] > 2 * _report(one_answer(mode, 20, 0.5, near))["tpot_ms"]
