"""Draft settings of the co-located baseline: an honest baseline gets the best of a few, measured on the spot."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from benchmarks.paradigms.base import Need, Paradigm
from benchmarks.paradigms.deployment import Deployment
from benchmarks.paradigms.plan import Plan
from common.types import Pace

CANDIDATES: tuple[tuple[Pace, int], ...] = (
    (Pace.PATIENT, 0),
    (Pace.PATIENT, 4),
    (Pace.PATIENT, 8),
    (Pace.EAGER, 0),
)
_QUESTIONS = 3


def tune_colocated(deployment: Deployment, plan: Plan) -> tuple[list[Paradigm], list[str]]:
    """The plan's paradigms, `colocated` with the settings whose total time is the least in the median; and a note.

    The questions are taken from the plan; their answers don't count. Candidates take turns.
    """
    if not any(p.need is Need.COLOCATED for p in plan.paradigms):
        return list(plan.paradigms), []
    base = next(p for p in plan.paradigms if p.need is Need.COLOCATED)
    totals: dict[tuple[Pace, int], list[float]] = {candidate: [] for candidate in CANDIDATES}
    for question in plan.questions[:_QUESTIONS]:
        for pace, length in CANDIDATES:
            report = deployment.ask(
                replace(base, pace=pace, draft_length=length), question, plan.sampling, plan.max_tokens
            )
            totals[pace, length].append(report["total_ms"])
    best = min(CANDIDATES, key=lambda candidate: median(totals[candidate]))
    tuned = replace(base, pace=best[0], draft_length=best[1])
    note = f"colocated runs with {_words(*best)}, the fastest of {_listed(totals)}"
    return [tuned if p is base else p for p in plan.paradigms], [note]


def _listed(totals: dict[tuple[Pace, int], list[float]]) -> str:
    return ", ".join(f"{_words(*candidate)} ({median(times):.0f} ms)" for candidate, times in totals.items())


def _words(pace: Pace, length: int) -> str:
    return f"{pace.value} pace, {'adaptive' if length == 0 else length} draft length"
