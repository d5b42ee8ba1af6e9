"""The judge, who is shown wrong answers of every kind and must say so; and what a run comes to."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.faults.judge import Ending, Truth, Verdict, Witness, judge, judge_hopeless, worst
from benchmarks.faults.running import Outcome
from benchmarks.faults.schedule import Kind, make_schedule
from benchmarks.faults.summary import page, percentile, summarize
from common.errors import LinkError, PromptError

TRUTH = Truth((5, 6, 7), "the red ball")


def report(**changes: Any) -> dict[str, Any]:
    return {"answer": TRUTH.text, "token_ids": list(TRUTH.token_ids), "mode": "stream_to_cloud", **changes}


def witness(*shown: str, **changes: Any) -> Witness:
    return Witness([(float(i), text) for i, text in enumerate(shown)], **changes)


def test_the_same_answer_is_identical() -> None:
    assert judge(witness("", "the", "the red", report=report()), TRUTH).ending is Ending.IDENTICAL


@pytest.mark.parametrize(
    "changes",
    [
        {"token_ids": [5, 6, 8]},
        {"token_ids": [5, 6]},
        {"token_ids": [5, 6, 7, 7]},
        {"token_ids": [5, 6, 6, 7]},
        {"token_ids": []},
        {"answer": "the red ball."},
        {"answer": "a red ball"},
    ],
    ids=["another token", "one missing", "one too many", "one twice", "none", "another end", "another beginning"],
)
def test_a_wrong_answer_is_wrong(changes: dict[str, Any]) -> None:
    assert judge(witness("the", report=report(**changes)), TRUTH).ending is Ending.WRONG


@pytest.mark.parametrize(
    "shown",
    [["the red", "the"], ["the the"], ["a"], ["the", "the red", "the blue"], ["the red ball!"]],
    ids=["taken back", "repeated", "skipped", "changed", "too much"],
)
@pytest.mark.parametrize("end", ["report", "edge_only", "error", "nothing"])
def test_what_was_shown_counts_however_it_ended(shown: list[str], end: str) -> None:
    ends: dict[str, dict[str, Any]] = {
        "report": {"report": report()},
        "edge_only": {"report": report(mode="edge_only", answer=shown[-1])},
        "error": {"error": LinkError("lost")},
        "nothing": {},
    }
    assert judge(witness(*shown, **ends[end]), TRUTH).ending is Ending.WRONG


def test_alone_the_edge_may_go_on_as_it_likes_but_not_back() -> None:
    alone = report(mode="edge_only", answer="the red car", token_ids=[5, 6, 9])
    assert judge(witness("the red", report=alone), TRUTH).ending is Ending.EDGE_ONLY
    back = report(mode="edge_only", answer="a red car", token_ids=[4, 6, 9])
    assert judge(witness("the red", report=back), TRUTH).ending is Ending.WRONG


def test_a_clear_failure_is_clean_and_anything_else_isnt() -> None:
    assert judge(witness("the", error=LinkError("the cloud can't be reached: cut")), TRUTH) == Verdict(
        Ending.FAILED_CLEANLY, "the cloud can't be reached: cut"
    )
    for error in (ValueError("oh"), LinkError(""), LinkError("two\nlines"), LinkError("Traceback (most recent")):
        assert judge(witness("the", error=error), TRUTH).ending is Ending.WRONG


def test_a_hopeless_question_is_refused_for_what_it_is_or_has_failed() -> None:
    assert judge_hopeless(witness(error=PromptError("shorten it"))).ending is Ending.REFUSED
    assert judge_hopeless(witness(error=LinkError("no cloud"))).ending is Ending.FAILED_CLEANLY
    assert judge_hopeless(witness(error=PromptError("two\nlines"))).ending is Ending.WRONG
    assert judge_hopeless(witness()).ending is Ending.HUNG


def test_nothing_at_all_is_hung() -> None:
    assert judge(witness("the red"), TRUTH).ending is Ending.HUNG


def test_a_fault_is_as_bad_as_its_worst_answer() -> None:
    order = [Ending.IDENTICAL, Ending.EDGE_ONLY, Ending.REFUSED, Ending.FAILED_CLEANLY, Ending.HUNG, Ending.WRONG]
    for place, ending in enumerate(order):
        assert worst([Verdict(e) for e in order[: place + 1]]) is ending
    assert worst([]) is Ending.IDENTICAL


# ---------------------------------------------------------------------------------------------------------- a whole run


def outcome(index: int, *endings: Ending, **changes: Any) -> Outcome:
    fault = make_schedule(100, 0)[index]
    verdicts = [Verdict(e) for e in endings]
    return Outcome(fault, worst(verdicts), verdicts, 1.0, **changes)


def test_the_names_that_stay_and_their_sums() -> None:
    outcomes = [
        outcome(0, Ending.IDENTICAL, Ending.IDENTICAL),
        outcome(1, Ending.IDENTICAL, Ending.EDGE_ONLY),
        outcome(2, Ending.FAILED_CLEANLY),
        outcome(3, Ending.WRONG, Ending.IDENTICAL),
        outcome(4, Ending.HUNG),
        outcome(5, Ending.IDENTICAL, skipped="no compiler"),
    ]
    summary = summarize(outcomes, {"cloud": 1}, {"seed": 0, "link": "none"})
    names = ["injected", "identical", "edge_only", "refused", "failed_cleanly", "wrong", "hung", "by_fault"]
    assert list(summary)[-len(names) :] == names
    assert [summary[name] for name in names[:-1]] == [5, 1, 1, 0, 1, 1, 1]
    assert sum(kind["injected"] for kind in summary["by_fault"].values()) == 5
    assert summary["answers"]["identical"] == 4
    assert summary["failed_share"] == pytest.approx(1 / 8)
    assert summary["leaked_sessions"] == 1
    text = page(summary)
    assert "WRONG --only 3" in text
    assert "HUNG --only 4" in text
    assert "no compiler" in text


def test_recovery_is_counted_by_what_was_lost() -> None:
    cuts = [f.index for f in make_schedule(100, 0) if f.kind is Kind.CUT]
    outcomes = [outcome(i, Ending.IDENTICAL, recovered_s=[0.1 * n]) for n, i in enumerate(cuts)]
    recovery = summarize(outcomes, {}, {})["recovery_s"]
    assert recovery["link_cut"]["answers"] == len(cuts)
    assert recovery["link_cut"]["worst"] == pytest.approx(0.1 * (len(cuts) - 1))
    assert recovery["cloud_restart"] is None


def test_percentiles() -> None:
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(i) for i in range(1, 101)], 0.95) == 95.0
    assert percentile([float(i) for i in range(1, 101)], 0.5) == 50.0
