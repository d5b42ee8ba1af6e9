from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SettingsError
from common.replay import Curve, StageTimes, load_profile, parse_profile, replayed_label, shipped_profiles

NAMES = ("7b-4bit-24gb", "7b-bf16", "7b-small-drafter")
LEAST: dict[str, Any] = {
    "name": "mine",
    "about": "a test",
    "drafter": {"vision_ms": 1, "prefill_ms": 2, "token_ms": 3, "prompt_tokens": 10},
    "target": {"step": [[1, 4], [10, 4], [100, 40]], "session_ms": 1, "prompt_tokens": 100},
    "video": {"decode_ms": 5, "preprocess_ms": 8, "vision": [[8, 16]]},
}


@pytest.fixture(params=NAMES)
def times(request: pytest.FixtureRequest) -> StageTimes:
    return load_profile(request.param)


def test_shipped_by_name() -> None:
    assert shipped_profiles() == sorted(NAMES)


def test_each_says_where_it_comes_from(times: StageTimes) -> None:
    assert times.name in NAMES
    assert times.sources
    assert times.assumed


def test_the_measured_figures_come_out() -> None:
    times = load_profile("7b-4bit-24gb")
    assert times.prefill_ms() + times.video.vision.at(8) == 315
    assert times.step_ms(0, 1, 1) == 14
    assert times.step_ms(0, 22, 1) == 70
    assert times.drafter.draft_ms(5) == 50
    bf16 = load_profile("7b-bf16")
    assert bf16.prefill_ms() + bf16.video.vision.at(8) == 568
    assert bf16.drafter.vision_ms + bf16.drafter.prefill_ms == 66
    small = load_profile("7b-small-drafter")
    assert small.step_ms(0, 1, 1) == 4 * small.drafter.token_ms


def test_a_memory_bound_pass_costs_the_same_up_to_its_knee() -> None:
    times = load_profile("7b-bf16")
    assert times.step_ms(0, 1, 1) == times.step_ms(0, 100, 1) < times.step_ms(0, 200, 1)


def test_a_shorter_prompt_costs_what_the_long_one_did() -> None:
    times = load_profile("7b-4bit-24gb")
    parts = [
        times.prompt_rows(70, 160, fed_video=68, video=136),
        times.prompt_rows(70, 160, fed_video=68, video=136),
        times.prompt_rows(20, 160, video=136),
    ]
    assert sum(parts) == pytest.approx(times.target.prompt_tokens)
    assert parts[2] == pytest.approx(20 * 20 / 24)
    halves = [times.prompt_rows(80, 160), times.prompt_rows(80, 160)]
    assert sum(halves) == times.target.prompt_tokens
    assert times.step_ms(times.prompt_rows(160, 160), 0, 1) == times.prefill_ms()


def test_nothing_to_do_costs_nothing(times: StageTimes) -> None:
    assert times.step_ms(0, 0, 0) == 0
    assert times.video.vision.at(0) == 0


@given(
    name=st.sampled_from(NAMES),
    prompt=st.floats(0, 5_000),
    decode=st.integers(1, 500),
    sessions=st.integers(1, 64),
    more=st.integers(0, 100),
)
def test_more_work_never_costs_less_and_packing_never_costs_more(
    name: str, prompt: float, decode: int, sessions: int, more: int
) -> None:
    times = load_profile(name)
    cost = times.step_ms(prompt, decode, sessions)
    assert cost <= times.step_ms(prompt + more, decode, sessions) + 1e-9
    assert cost <= times.step_ms(prompt, decode + more, sessions) + 1e-9
    assert cost <= times.step_ms(prompt, decode, sessions + more)
    apart = times.step_ms(prompt, decode, 1) + times.step_ms(0, more + 1, 1)
    assert times.step_ms(prompt, decode + more + 1, 2) <= apart + 1e-9


def test_a_curve_goes_on_where_its_last_line_went() -> None:
    curve = Curve(((1, 10), (3, 30)))
    assert [curve.at(n) for n in (0, 0.5, 1, 2, 3, 5)] == [0, 10, 10, 20, 30, 50]
    assert Curve(((8, 16),)).at(100) == 16


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_a_file_of_ones_own(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps(LEAST))
    else:
        tables = {k: v for k, v in LEAST.items() if isinstance(v, dict)}
        lines = [f'{k} = "{v}"' for k, v in LEAST.items() if k not in tables]
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{k} = {v}" for k, v in values.items())]
        path.write_text("\n".join(lines))
    assert load_profile(path) == load_profile(str(path)) == parse_profile(LEAST, "here")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a b"}, "name must be"),
        ({"extra": 1}, "unknown 'extra'"),
        ({"drafter": {}}, "lacks 'vision_ms'"),
        ({"drafter": 3}, "must be a table"),
        ({"drafter": {**LEAST["drafter"], "token_ms": -1}}, "token_ms must be a number"),
        ({"drafter": {**LEAST["drafter"], "token_ms": float("nan")}}, "token_ms must be a number"),
        ({"drafter": {**LEAST["drafter"], "prompt_tokens": 0}}, "whole number"),
        ({"target": {**LEAST["target"], "video_tokens": 100}}, "must be fewer"),
        ({"target": {**LEAST["target"], "step": []}}, "list of points"),
        ({"target": {**LEAST["target"], "step": [[1, 2], [1, 3]]}}, "must grow"),
        ({"target": {**LEAST["target"], "step": [[1, 3], [2, 2]]}}, "may not fall"),
        ({"about": 5}, "must be text"),
        ({"sources": "one"}, "list of sentences"),
    ],
)
def test_nonsense_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_profile({**LEAST, **change}, "here")


def test_a_file_or_name_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 7b-bf16"):
        load_profile("7b-bf61")
    with pytest.raises(SettingsError, match="shipped are"):
        load_profile("nonsense")
    with pytest.raises(SettingsError, match="can't read"):
        load_profile(tmp_path / "none.toml")
    junk = tmp_path / "junk.json"
    junk.write_text("[" * 100_000)
    with pytest.raises(SettingsError, match="isn't valid JSON"):
        load_profile(junk)


def test_labels() -> None:
    assert replayed_label("", "") == ""
    assert replayed_label("a", "a") == "a"
    assert replayed_label("a", "") == "edge:a"
    assert replayed_label("a", "b") == "edge:a cloud:b"
