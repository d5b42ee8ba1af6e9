"""The first sentences about a family of settings: which verified way was fastest, before all that stands beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.report.comparison import BASELINE, Comparison, Row
from benchmarks.report.wording import milliseconds, plural, shown
from benchmarks.results import is_ahead

_TOGETHER, _AHEAD = "The clip goes up with its question", "The clip is streamed while it is filmed"


def headline_of(family: Sequence[Comparison]) -> str:
    """A sentence for each way in which clips come, by the median total time of verified answers over the link.

    Ways that don't cross the link (`in_process`) or that nobody verifies (`edge_only`) don't compete. Empty if there
    is nothing to choose from.
    """
    sentences = []
    for words, ahead in ((_TOGETHER, False), (_AHEAD, True)):
        fields = [rows for comparison in family if len(rows := _competing(comparison, ahead)) > 1]
        if fields:
            told = _one(fields[0]) if len(family) == 1 else _many(fields)
            sentences.append(f"{words}: {told}.")
    return " ".join(sentences)


def _competing(comparison: Comparison, ahead: bool) -> list[Row]:
    rows = [row for row in comparison.rows if row.lossless and row.paradigm != "in_process"]
    return sorted((row for row in rows if is_ahead(row.label) == ahead), key=lambda row: row.total.median)


def _one(rows: Sequence[Row]) -> str:
    first, second = rows[:2]
    base = next((row for row in rows if row.label.partition("/")[0] == BASELINE), None)
    other = second if base is None or base is first else base
    return (
        f"{shown(first.label)} is the fastest way to a verified answer, {milliseconds(first.total.median)} in the "
        f"median; {shown(other.label)} takes {milliseconds(other.total.median)}"
    )


def _many(fields: Sequence[Sequence[Row]]) -> str:
    winners = Counter(rows[0].label for rows in fields).most_common()
    told = [f"{shown(label)} at {count}" for label, count in winners]
    return f"the fastest way to a verified answer, over {plural(len(fields), 'link')}, is {', '.join(told)}"
