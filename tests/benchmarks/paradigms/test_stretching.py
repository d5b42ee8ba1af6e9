"""Slow motion: what is made slower is slower throughout, and what is told is what was meant."""

from __future__ import annotations

import pytest

from benchmarks.link.profile import LinkProfile
from benchmarks.paradigms.stretching import stretched_link, stretched_times, told, told_run
from common.replay import load_profile, parse_profile, shipped_profiles
from tests.benchmarks.paradigms.made import made_run

LINK = LinkProfile("x", rtt_ms=20, uplink_mbps=50, downlink_mbps=40, jitter_ms=2, queue_ms=30)


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_stage_of_a_profile_takes_that_many_times_as_long(name: str) -> None:
    plain = load_profile(name)
    slow = parse_profile(stretched_times(plain, 4.0), "stretched")
    for rows, sessions in ((1, 1), (7, 5), (300, 9), (2500, 1)):
        assert slow.step_ms(0, rows, sessions) == pytest.approx(4 * plain.step_ms(0, rows, sessions))
    assert slow.video.vision.at(5) == pytest.approx(4 * plain.video.vision.at(5))
    assert slow.video.decode_ms == 4 * plain.video.decode_ms and slow.video.workers == plain.video.workers
    assert slow.drafter.draft_ms(3) == pytest.approx(4 * plain.drafter.draft_ms(3))
    assert slow.drafter.prefill_ms == 4 * plain.drafter.prefill_ms
    assert slow.target.prompt_tokens == plain.target.prompt_tokens
    assert slow.name == f"{plain.name}-x4"


def test_a_link_is_slower_in_delay_and_rate() -> None:
    slow = stretched_link(LINK, 5.0)
    assert slow is not None and stretched_link(None, 5.0) is None
    assert (slow.rtt_ms, slow.jitter_ms, slow.queue_ms) == (100, 10, 150)
    assert (slow.uplink_mbps, slow.downlink_mbps) == (10, 8)


def test_a_run_is_told_in_the_deployments_own_time() -> None:
    slow = stretched_link(LINK, 4.0)
    assert slow is not None
    run = made_run(
        link=slow.as_dict(),
        replayed="7b-bf16-x4",
        ttft_ms=400.0,
        tpot_ms=None,
        total_ms=800.0,
        stages=[{"name": "draft", "side": "edge", "start_ms": 40.0, "end_ms": 80.0}],
        extra={
            "asked_at_s": 8.0,
            "commit_trace": [[400.0, 3, 2, 1]],
            "draft_trace": [[4.0, 8.0, 0.0, 4.0]],
            "drafts": 7,
        },
    )
    plain = told_run(run, LINK, 4.0)
    assert (plain.ttft_ms, plain.tpot_ms, plain.total_ms) == (100.0, None, 200.0)
    assert plain.link == LINK.as_dict() and plain.replayed == "7b-bf16"
    assert plain.stages == [{"name": "draft", "side": "edge", "start_ms": 10.0, "end_ms": 20.0}]
    assert plain.extra["asked_at_s"] == 2.0 and plain.extra["drafts"] == 7
    assert plain.extra["commit_trace"] == [[100.0, 3, 2, 1]] and plain.extra["draft_trace"] == [[1.0, 2.0, 0.0, 1.0]]
    assert plain.token_ids == run.token_ids


def test_measured_links_are_told_likewise() -> None:
    assert told({"rtt_p50_ms": 80.4, "uplink_mbps": 12.5, "loss_pct": 0.1}, 4.0) == {
        "rtt_p50_ms": 20.1,
        "uplink_mbps": 50.0,
        "loss_pct": 0.1,
    }
