"""What a form of drafts is worth: counted from commits, asked of the real pair, and said before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.alignment.asking import Asked, of_daemons
from benchmarks.alignment.in_process import InProcess
from benchmarks.alignment.ways import ALONE, IDS, Way, ways_of
from benchmarks.alignment.worth import worth_of
from benchmarks.link.profile import LinkProfile
from benchmarks.results import Run
from common.adapters import create_adapter, save_adapter
from common.ask import Mode
from common.errors import ModelError, SettingsError
from common.types import Pace, SamplingParams


def run(trace: list[list[float]], ms: float = 10.0, number: int = 0) -> Run:
    tokens = int(sum(step[1] for step in trace))
    return Run(
        "stream_to_cloud",
        "",
        {},
        "loopback",
        "clip",
        "what?",
        0,
        number,
        list(range(tokens)),
        tokens,
        None,
        None,
        ms,
        verifications=sum(step[2] > 0 for step in trace),
        target_passes=len(trace),
        uplink_bytes={"video": 9_000, "drafts": 120, "control": 70},
        extra={"commit_trace": trace, "draft_tokens_made": 12},
    )


def classes(ids: Sequence[int], question: str) -> Sequence[str]:
    return ["colour" if i == 2 else "function" for i in range(len(ids))]


def test_worth_is_counted_from_commits() -> None:
    # two right and the third wrong; nothing drafted; two right and the bonus
    trace = [[1.0, 3, 5, 2], [2.0, 1, 0, 0], [3.0, 3, 2, 2]]
    base = [run([[1.0, 1, 0, 0]], ms=20.0), run([[1.0, 1, 0, 0]], ms=40.0, number=1)]
    worth = worth_of("way", [run(trace), run(trace, number=1)], base, classes)
    assert (worth.checked, worth.right) == (10, 8)
    assert worth.acceptance == 0.8
    assert worth.by_class == {"function": [8, 8], "colour": [0, 2]}
    assert worth.by_place == {"1": [4, 4], "2": [4, 4], "3": [0, 2]}
    assert worth.mean_length == 3.0
    assert worth.bytes_a_token == 10.0
    assert worth.passes_a_token == pytest.approx(6 / 14)
    assert worth.time_ratio == pytest.approx((0.5 + 0.25) / 2)
    assert worth.time_quartiles == pytest.approx((0.3125, 0.4375))
    assert worth.alone_ratio is None
    alone = worth_of("way", [run(trace), run(trace, number=1)], base, classes, [run(trace, ms=5.0)])
    assert alone.alone_ratio == 2.0


def test_nothing_drafted_is_no_figure() -> None:
    worth = worth_of("ids", [run([[1.0, 2, 0, 0]])], [], classes)
    assert (worth.acceptance, worth.mean_length, worth.time_ratio) == (None, None, None)


def test_ways_are_what_an_adapter_can_take(tmp_path: Path) -> None:
    save_adapter(create_adapter("L1S", 128, 256, width=16), tmp_path / "split")
    save_adapter(create_adapter("tokens", vocab_size=640, embedding=16, width=16, blocks=1), tmp_path / "tokens")
    found = ways_of([str(tmp_path / "split"), str(tmp_path / "tokens"), "tiny-L5F"], [])
    assert [way.label for way in found] == [
        "ids",
        *(f"split {form}" for form in ("hidden", "int8", "codes", "mirror")),
        "tokens mirror",
        "tiny-L5F hidden",
        "tiny-L5F int8",
    ]
    assert ways_of(["tiny-L5F"], ["codes"]) == [Way(IDS)]
    with pytest.raises(SettingsError, match="no form 'smoke'"):
        ways_of([], ["smoke"])
    with pytest.raises(ModelError):
        ways_of([str(tmp_path / "nowhere")], [])


def test_other_drafters_and_the_cloud_alone_are_ways_too(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text("{}")
    ids, tuned = ways_of([], [], drafters=[str(tmp_path / "tuned")])
    assert tuned.label == "tuned ids"
    assert tuned.edge_arguments == ["--model", str(tmp_path / "tuned")]
    assert (ids.mode, ALONE.mode, ALONE.label) == (Mode.STREAM_TO_CLOUD, Mode.CLOUD_ONLY, "the cloud alone")
    assert Way("mirror", "tiny").cloud_adapter == ""
    assert Way("int8", "tiny").cloud_adapter == "tiny"
    with pytest.raises(ModelError, match="no drafter in"):
        ways_of([], [], drafters=[str(tmp_path)])


def test_sampled_repetitions_have_seeds_of_their_own() -> None:
    greedy, sampled = Asked([], 1, 1), Asked([], 1, 1, sampling=SamplingParams(1.0, seed=5))
    assert [greedy.sampled(number).seed for number in range(2)] == [0, 0]
    assert [sampled.sampled(number).seed for number in range(2)] == [5, 6]
    assert sampled.sampled(1).temperature == 1.0


@pytest.mark.timeout(300)
def test_daemons_behind_a_link_are_timed_against_the_cloud_alone() -> None:
    ids, link = Way(IDS), LinkProfile("short", rtt_ms=10.0, uplink_mbps=50.0, downlink_mbps=50.0)
    runs = of_daemons(Asked([ids, ALONE], 1, 1), link, backend="proxy", watched=True)
    (drafted,), (alone,) = runs[ids], runs[ALONE]
    assert drafted.token_ids == alone.token_ids
    assert [drafted.link["rtt_ms"], alone.backend] == [10, "proxy"]
    assert drafted.verifications > 0 == alone.verifications
    worth = worth_of(ALONE.label, [alone], [drafted], lambda ids, question: (), [alone])
    assert worth.alone_ratio == 1.0
    assert worth.time_ratio == pytest.approx(alone.total_ms / drafted.total_ms)
    assert worth.draft_bytes == 0


def test_the_shipped_adapter_raises_acceptance_in_the_real_pair() -> None:
    pair = InProcess()
    questions = pair.questions(2, 2)
    figures: dict[Any, Any] = {}
    for way in ways_of(["tiny-L5F"], ["int8"]):
        serving = pair.serving(way)
        runs = [serving.answer(question, Pace.PATIENT, 5, repetition=0) for question in questions]
        figures[way.form] = runs, worth_of(way.label, runs, runs, lambda ids, question: ())
    (plain, ids), (adapted, states) = figures["ids"], figures["int8"]
    assert [run.token_ids for run in plain] == [run.token_ids for run in adapted]
    assert states.acceptance > ids.acceptance
    assert states.passes < ids.passes
    assert ids.bytes_a_token < 10 < states.bytes_a_token < 300


def test_the_command_says_what_is_wrong() -> None:
    runner = CliRunner()
    assert "no form" in str(runner.invoke(app, ["alignment", "--form", "smoke"]).exception)
    assert "add --daemons" in str(runner.invoke(app, ["alignment", "--rtt", "20", "--uplink", "20"]).exception)
    assert "--draft-length 1" in str(runner.invoke(app, ["alignment", "--draft-length", "0"]).exception)
