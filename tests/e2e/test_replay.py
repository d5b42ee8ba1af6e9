"""A pair that is padded to a profile's times: the same tokens, that profile's timeline, and reports that say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair, running_pair
from common.ask import Mode
from common.replay import load_profile
from tests.e2e.pairs import ask

PROFILE = """
name = "test"
about = "slower than the tiny pair on any machine, and quick enough to test"
[drafter]
vision_ms = 150
prefill_ms = 200
token_ms = 60
prompt_tokens = 600
rasterise_ms = 250
[target]
step = [[1, 90], [20, 100], [2000, 400]]
session_ms = 1
prompt_tokens = 2000
[video]
decode_ms = 800
preprocess_ms = 100
vision = [[1, 100], [8, 200]]
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "test.toml"
    path.write_text(PROFILE)
    return path


@pytest.fixture(scope="module")
def replayed(profile: Path) -> Iterator[Pair]:
    flags = ("--threads", "1", "--replay", str(profile))
    with running_pair(cloud_arguments=flags, edge_arguments=flags) as running:
        yield running


def spans(values: dict[str, Any], name: str, side: str) -> list[tuple[float, float]]:
    return [(s["start_ms"], s["end_ms"]) for s in values["stages"] if (s["name"], s["side"]) == (name, side)]


def took(values: dict[str, Any], name: str, side: str) -> float:
    ((start, end),) = spans(values, name, side)
    return end - start


def test_cloud_only_has_the_profiles_timeline(replayed: Pair, profile: Path, clips: list[ClipQuestion]) -> None:
    times = load_profile(profile)
    values = ask(replayed.edge.address, clips[0], mode=Mode.CLOUD_ONLY, max_tokens=6).values
    assert values["replayed"] == "test"
    least = times.video.decode_ms + times.video.preprocess_ms
    assert took(values, "video_decode", "cloud") >= least - 1
    passes = [end - start for start, end in spans(values, "decode", "cloud")]
    assert len(passes) == values["tokens"] - 1
    assert min(passes) >= times.step_ms(0, 1, 1) - 1
    assert values["ttft_ms"] >= least + times.prefill_ms() * 0.99
    assert values["tpot_ms"] >= times.step_ms(0, 1, 1) - 1
    if not values["replay_overruns"]:
        assert values["tpot_ms"] <= 1.5 * times.step_ms(0, 1, 1) + 20


def test_together_they_say_the_same_at_the_profiles_pace(
    replayed: Pair, profile: Path, clips: list[ClipQuestion]
) -> None:
    times = load_profile(profile).drafter
    alone = ask(replayed.edge.address, clips[0], mode=Mode.CLOUD_ONLY, max_tokens=12)
    together = ask(replayed.edge.address, clips[0], max_tokens=12)
    values = together.values
    assert together.token_ids == alone.token_ids
    assert values["replayed"] == "test"
    assert took(values, "rasterise", "edge") >= times.rasterise_ms - 1
    assert took(values, "drafter_vision", "edge") >= times.vision_ms - 1
    assert took(values, "drafter_prefill", "edge") >= times.prefill_ms - 1
    assert spans(values, "draft", "edge")
    assert values["free_drafts"] > 0
    assert sum(tokens for _, tokens, _, _ in values["commit_trace"]) == values["tokens"]
    assert sum(drafted for _, _, drafted, _ in values["commit_trace"]) == values["drafted"]
    for span in values["stages"]:
        assert 0 <= span["start_ms"] <= span["end_ms"] <= values["total_ms"] + 200, span


def test_one_side_alone_is_named(replayed: Pair, clips: list[ClipQuestion]) -> None:
    from benchmarks.processes import start_edge

    edge = start_edge(replayed.cloud.address, "--threads", "1")
    try:
        edge.wait_ready(90.0)
        assert ask(edge.address, clips[0], max_tokens=3).values["replayed"] == "cloud:test"
        assert ask(edge.address, clips[0], mode=Mode.EDGE_ONLY, max_tokens=3).values["replayed"] == ""
    finally:
        edge.stop()
