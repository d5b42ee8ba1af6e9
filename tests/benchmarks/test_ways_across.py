"""The ways across vocabularies beside the forms of adapters."""

from __future__ import annotations

import pytest

from benchmarks.alignment.in_process import InProcess
from benchmarks.alignment.ways import ways_of
from benchmarks.alignment.worth import worth_of
from common.errors import SettingsError
from common.types import Pace, SamplingParams


def test_ways_across_have_the_other_drafter_and_the_targets_tokenizer() -> None:
    ids, text, pieces = ways_of([], [], ["text", "pieces"])
    assert ids.edge_arguments == []
    assert [text.label, pieces.label] == ["across by text", "across by pieces"]
    for way, name in ((text, "text"), (pieces, "pieces")):
        arguments = dict(zip(way.edge_arguments[::2], way.edge_arguments[1::2], strict=True))
        assert arguments["--across"] == name
        assert arguments["--model"].endswith("other-drafter")
        assert arguments["--target-tokenizer"].endswith("target")


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(SettingsError, match="smoke"):
        ways_of([], [], ["smoke"])


def test_sampled_answers_are_the_targets_by_text_and_drafts_are_mostly_right() -> None:
    """A target that samples, a drafter that says its likeliest piece in its own vocabulary, the same seed twice."""
    pair = InProcess()
    questions, sampling = pair.questions(2, 2), SamplingParams(3.0, seed=3)
    ids, text = ways_of([], [], ["text"])
    shared, across = pair.serving(ids), pair.serving(text)
    truth = [shared.answer(question, Pace.PATIENT, 5, sampling, repetition=0) for question in questions]
    first, again = (
        [across.answer(question, Pace.PATIENT, 5, sampling, repetition=0) for question in questions] for _ in range(2)
    )
    assert [run.token_ids for run in first] == [run.token_ids for run in truth]
    assert [run.accepted_by_position for run in first] == [run.accepted_by_position for run in again]
    found = worth_of(text.label, first, truth, lambda ids, question: ())
    assert found.acceptance is not None and found.acceptance > 0.2
    assert (first[0].seed, first[0].temperature) == (3, 3.0)
    greedy = [shared.answer(question, Pace.PATIENT, 5, repetition=0) for question in questions]
    assert [run.token_ids for run in greedy] != [run.token_ids for run in truth], "nothing was sampled"
