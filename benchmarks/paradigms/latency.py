"""Short and long answers about a clip that has just ended, held against `cloud_only`, and the bars for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.clips import ClipQuestion
from benchmarks.paradigms.statistics import Spread, by_label, paired_ratios
from benchmarks.results import Run

SHORT, LONG = 5, 45
JUDGED = "stream_to_cloud/tokens-eager-ahead"
TTFT_AT_MOST = 0.35
TOTAL_AT_LEAST = {SHORT: 3.0, LONG: 1.5}
DESCRIBE = "Describe the clip in full."


def short_questions(questions: Sequence[ClipQuestion], count: int) -> list[ClipQuestion]:
    """`count` questions that aren't asked for long answers: the first of every clip in turn, then the second."""
    rest = [question for question in questions if question.question != DESCRIBE]
    rounds: dict[str, int] = {}
    places = []
    for question in rest:
        rounds[question.clip] = rounds.get(question.clip, -1) + 1
        places.append(rounds[question.clip])
    order = sorted(range(len(rest)), key=lambda place: places[place])
    return [rest[place] for place in order[:count]]


def long_questions(questions: Sequence[ClipQuestion], count: int) -> list[ClipQuestion]:
    """A full description of `count` clips, those first whose known description is the longest."""
    known = {q.clip: q for q in questions if q.question == DESCRIBE}
    first_of_clip = {q.clip: q for q in reversed(questions)}
    asked = [known.get(clip, replace(q, question=DESCRIBE, expected=None)) for clip, q in first_of_clip.items()]
    return sorted(asked, key=lambda q: -len(q.expected or ""))[:count]


@dataclass(frozen=True, slots=True)
class LatencyFigure:
    """One paradigm of one setup with answers of up to `wanted` tokens. Ratios are paired with `cloud_only`'s answers.

    Attributes:
        setup: profile that stages were padded to; `tiny`: none.
        wanted: limit of the answer, in tokens.
        tokens: how long answers came out, in the median.
        ttft_ratio: TTFT over that of `cloud_only`.
        times_as_fast: total time of `cloud_only` over this one's.
        carried_on: the same with every answer carried on to `wanted` tokens at its own time a token, as answers that
            end by themselves are shorter, and so kinder to whoever begins sooner.
    """

    setup: str
    wanted: int
    label: str
    answers: int
    tokens: float
    ttft: Spread
    total: Spread
    ttft_ratio: Spread
    times_as_fast: Spread
    carried_on: Spread

    @property
    def judged(self) -> bool:
        """True if bars hold for it: for the replayed 7B pair, asked under `JUDGED`."""
        return self.setup != "tiny" and self.label == JUDGED

    @property
    def reached(self) -> bool:
        """Whether both medians reach their bars."""
        fast = self.carried_on.median >= TOTAL_AT_LEAST[self.wanted]
        return fast and self.ttft_ratio.median <= TTFT_AT_MOST

    def as_dict(self) -> dict[str, Any]:
        """For results: medians, the bars, and whether they are reached (None: not judged)."""
        return {
            "setup": self.setup,
            "wanted": self.wanted,
            "paradigm": self.label,
            "answers": self.answers,
            "tokens": self.tokens,
            "ttft_ms": self.ttft.median,
            "total_ms": self.total.median,
            "ttft_ratio": self.ttft_ratio.median,
            "times_as_fast": self.times_as_fast.median,
            "times_as_fast_carried_on": self.carried_on.median,
            "ttft_at_most": TTFT_AT_MOST,
            "times_as_fast_at_least": TOTAL_AT_LEAST[self.wanted],
            "reached": self.reached if self.judged else None,
        }


def carried_on_ms(run: Run, wanted: int) -> float:
    """The answer's total time if it had gone on to `wanted` tokens at its own time a token."""
    return run.total_ms + max(0, wanted - run.tokens) * (run.tpot_ms or 0.0)


def latency_figures(runs: Iterable[Run]) -> list[LatencyFigure]:
    """A figure for every setup, answer length and paradigm, in order; runs name `setup` and `wanted` in `extra`."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.extra["setup"], run.extra["wanted"]), []).append(run)
    found = []
    for (setup, wanted), group in groups.items():
        labels = by_label(group)
        base = labels.get("cloud_only", [])
        found += [_figure(setup, wanted, label, own, base) for label, own in labels.items()]
    return [figure for figure in found if figure is not None]


def _figure(setup: str, wanted: int, label: str, runs: Sequence[Run], base: Sequence[Run]) -> LatencyFigure | None:
    ttft, total = Spread.of(run.ttft_ms for run in runs), Spread.of(run.total_ms for run in runs)
    tokens = Spread.of(float(run.tokens) for run in runs)
    ratios = (
        Spread.of(paired_ratios(runs, base, lambda run: run.ttft_ms)),
        _inverse(paired_ratios(runs, base, lambda run: run.total_ms)),
        _inverse(paired_ratios(runs, base, lambda run: carried_on_ms(run, wanted))),
    )
    if ttft is None or total is None or tokens is None or None in ratios:
        return None
    ttft_ratio, fast, carried_on = ratios
    assert ttft_ratio is not None and fast is not None and carried_on is not None
    return LatencyFigure(setup, wanted, label, len(runs), tokens.median, ttft, total, ttft_ratio, fast, carried_on)


def _inverse(ratios: Sequence[float]) -> Spread | None:
    return Spread.of(1 / ratio for ratio in ratios)
