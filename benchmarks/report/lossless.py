"""The check on which all else rests: every lossless paradigm gave the same token ids to the same question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.paradigms.losslessness import Difference, differences
from benchmarks.report.sources import Source


@dataclass(frozen=True, slots=True)
class LosslessCheck:
    """What was checked.

    Attributes:
        questions: questions (with clip, seed and temperature) that have at least two lossless answers.
        answers: those answers.
        labels: the paradigms that were held against each other.
        found: runs that differ from the first lossless run of their question.
        unchecked: runs of lossless paradigms without token ids.
    """

    questions: int
    answers: int
    labels: tuple[str, ...]
    found: tuple[Difference, ...]
    unchecked: int


def check_lossless(sources: Iterable[Source]) -> LosslessCheck:
    """Hold the lossless runs of each file against each other."""
    questions, answers, unchecked = 0, 0, 0
    labels: dict[str, None] = {}
    found: list[Difference] = []
    for source in sources:
        lossless = [run for run in source.record.runs if run.lossless]
        checked = [run for run in lossless if run.token_ids]
        unchecked += len(lossless) - len(checked)
        counts = Counter((run.clip, run.question, run.seed, run.temperature) for run in checked)
        held = {key: count for key, count in counts.items() if count > 1}
        questions, answers = questions + len(held), answers + sum(held.values())
        labels.update({r.label: None for r in checked if (r.clip, r.question, r.seed, r.temperature) in held})
        found += differences(checked)
    return LosslessCheck(questions, answers, tuple(labels), tuple(found), unchecked)
