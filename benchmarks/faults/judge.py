"""How an answer ended, held against the undisturbed one. Pure, and suspicious: what isn't allowed is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from common.ask import Mode
from common.errors import EventSpecError, InputError


class Ending(StrEnum):
    """How an answer ended; the worst one last."""

    IDENTICAL = "identical"
    EDGE_ONLY = "edge_only"
    REFUSED = "refused"  # what asks for the impossible, and is told so
    FAILED_CLEANLY = "failed_cleanly"
    HUNG = "hung"
    WRONG = "wrong"


@dataclass
class Witness:
    """All that an asker saw of one answer.

    `shown` are the committed texts as they came, with their times; the end is `report` or `error`. Neither: it hung.
    """

    shown: list[tuple[float, str]] = field(default_factory=list)
    report: dict[str, Any] | None = None
    error: BaseException | None = None
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Truth:
    """The undisturbed answer."""

    token_ids: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended, and what a person should know."""

    ending: Ending
    note: str = ""


def judge(witness: Witness, truth: Truth) -> Verdict:
    """The verdict on one answer."""
    if (streamed := _streamed_wrong(witness.shown, truth)) is not None:
        return Verdict(Ending.WRONG, streamed)
    if witness.report is not None:
        return _judge_report(witness.report, witness.shown, truth)
    if witness.error is None:
        return Verdict(Ending.HUNG, "neither a report nor an error")
    text = str(witness.error)
    if not isinstance(witness.error, EventSpecError):
        return Verdict(Ending.WRONG, f"an error that nobody translated: {witness.error!r}")
    if not text or "\n" in text or "Traceback" in text:
        return Verdict(Ending.WRONG, f"a failure that isn't one clear line: {text!r}")
    return Verdict(Ending.FAILED_CLEANLY, text)


def judge_hopeless(witness: Witness) -> Verdict:
    """The verdict on a question that can't be answered: it must be refused as the input's own fault."""
    verdict = judge(witness, Truth((), witness.shown[-1][1] if witness.shown else ""))
    if verdict.ending is Ending.FAILED_CLEANLY and isinstance(witness.error, InputError):
        return Verdict(Ending.REFUSED, verdict.note)
    return verdict


def _streamed_wrong(shown: Sequence[tuple[float, str]], truth: Truth) -> str | None:
    """What is wrong with the committed text as it was streamed: it may only grow, along the truth."""
    before = ""
    for _, text in shown:
        if not text.startswith(before):
            return f"committed text went from {before!r} to {text!r}"
        if not truth.text.startswith(text):
            return f"committed text {text!r} isn't the beginning of {truth.text!r}"
        before = text
    return None


def _judge_report(report: dict[str, Any], shown: Sequence[tuple[float, str]], truth: Truth) -> Verdict:
    last = shown[-1][1] if shown else ""
    if not str(report["answer"]).startswith(last):
        return Verdict(Ending.WRONG, f"the answer {report['answer']!r} doesn't continue the committed {last!r}")
    if report["mode"] == Mode.EDGE_ONLY.value:
        return Verdict(Ending.EDGE_ONLY)
    if tuple(report["token_ids"]) != truth.token_ids:
        at = next(
            (i for i, (a, b) in enumerate(zip(report["token_ids"], truth.token_ids, strict=False)) if a != b),
            min(len(report["token_ids"]), len(truth.token_ids)),
        )
        return Verdict(
            Ending.WRONG, f"token {at} differs: {report['token_ids'][at:][:4]} for {truth.token_ids[at:][:4]}"
        )
    if report["answer"] != truth.text:
        return Verdict(Ending.WRONG, "the same tokens with another text")
    return Verdict(Ending.IDENTICAL)


def worst(verdicts: Sequence[Verdict]) -> Ending:
    """The worst ending among a fault's answers."""
    order = list(Ending)
    return max((v.ending for v in verdicts), key=order.index, default=Ending.IDENTICAL)
