"""What a fleet's simulation came to: one line of figures a client count, and runs in the schema of results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.results import Run, run_of_report
from benchmarks.simulation.fleet import Fleet, Outcome, Totals


@dataclass(frozen=True, slots=True)
class Objectives:
    """When an answer counts for goodput: first token and time per token at most so long, in milliseconds."""

    ttft_ms: float = 2_000.0
    tpot_ms: float = 100.0

    def met(self, report: Mapping[str, Any]) -> bool:
        """True if the answer of this report keeps both."""
        ttft, tpot = report["ttft_ms"], report["tpot_ms"]
        return ttft is not None and ttft <= self.ttft_ms and (tpot is None or tpot <= self.tpot_ms)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one fleet between warm-up and end. Times in milliseconds, rates a second, shares as fractions.

    Attributes:
        answers: verified answers to questions asked in the window.
        tokens_per_s: committed by all clouds together.
        passes_per_token: the target's passes for an answer over its tokens.
        utilisation: of the engines; `decoding` of the fronts' decoding threads.
        sessions_per_pass: mean sessions in a packed forward.
        goodput_per_s: answers a second that met the objectives; `goodput_share` of all that were asked.
        alone: answers that the edge finished by itself, unverified.
        failed: questions without an answer.
        unfinished: questions still open when the simulation ended.
    """

    paradigm: str
    mode: str
    clients: int
    answers: int
    tokens_per_s: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    total_p50_ms: float | None
    total_p99_ms: float | None
    passes_per_token: float | None
    acceptance: float | None
    utilisation: float
    decoding: float
    sessions_per_pass: float
    goodput_per_s: float
    goodput_share: float | None
    alone: int
    failed: int
    unfinished: int
    window_s: float

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return asdict(self)


def summarise(fleet: Fleet, totals: Totals, warm_up: float, duration: float, objectives: Objectives) -> Summary:
    """The figures of a fleet that has run: of questions asked from `warm_up` to `duration`, in seconds."""
    asked = [o for o in fleet.outcomes if warm_up <= o.started_at <= duration]
    good = [o for o in asked if not o.failure and not o.alone]
    window = duration - warm_up
    met = sum(objectives.met(o.report) for o in good)
    total_asked = len(asked) + fleet.unfinished
    clouds = fleet.deployment.clouds
    workers = fleet.deployment.costs.times.video.workers * clouds
    return Summary(
        paradigm=fleet.mode.paradigm,
        mode=fleet.mode.mode,
        clients=fleet.clients,
        answers=len(good),
        tokens_per_s=totals.committed / window,
        ttft_p50_ms=percentile(_values(good, "ttft_ms"), 50),
        ttft_p99_ms=percentile(_values(good, "ttft_ms"), 99),
        tpot_p50_ms=percentile(_values(good, "tpot_ms"), 50),
        tpot_p99_ms=percentile(_values(good, "tpot_ms"), 99),
        total_p50_ms=percentile(_values(good, "total_ms"), 50),
        total_p99_ms=percentile(_values(good, "total_ms"), 99),
        passes_per_token=totals.chosen_passes / totals.committed if totals.committed else None,
        acceptance=_share(good, "accepted", "drafted"),
        utilisation=min(1.0, totals.busy_s / window / clouds),
        decoding=min(1.0, totals.decoding_s / window / workers),
        sessions_per_pass=totals.batched / totals.forwards if totals.forwards else 0.0,
        goodput_per_s=met / window,
        goodput_share=met / total_asked if total_asked else None,
        alone=sum(o.alone for o in asked),
        failed=sum(bool(o.failure) for o in asked),
        unfinished=fleet.unfinished,
        window_s=window,
    )


def runs_of(fleet: Fleet, link: Mapping[str, Any], limit: int) -> tuple[list[Run], int]:
    """The fleet's answers as runs, and how many there were.

    Where there are more than `limit`, an even choice of them: every n-th in the order of their ends.
    """
    answers = [o for o in fleet.outcomes if not o.failure]
    step = max(1, -(-len(answers) // limit)) if limit else len(answers) + 1
    chosen = answers[::step] if limit else []
    return [_run(fleet, outcome, link) for outcome in chosen], len(answers)


def _run(fleet: Fleet, outcome: Outcome, link: Mapping[str, Any]) -> Run:
    return run_of_report(
        outcome.report,
        paradigm="edge_only" if outcome.alone else fleet.mode.paradigm,
        mode="" if outcome.alone else fleet.mode.mode,
        link=link,
        backend="simulated",
        clip=outcome.case.clip,
        question=outcome.case.question,
        seed=fleet.seed,
        repetition=outcome.number,
        token_ids=outcome.token_ids,
        tokens=len(outcome.token_ids),
        lossless=not outcome.alone,
        replayed=fleet.deployment.costs.times.name,
        extra={"client": outcome.client, "clients": fleet.clients, "asked_at_s": round(outcome.started_at, 6)},
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that `percent` of all don't exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _values(outcomes: Sequence[Outcome], name: str) -> list[float]:
    return [value for o in outcomes if isinstance(value := o.report[name], int | float)]


def _share(outcomes: Sequence[Outcome], part: str, whole: str) -> float | None:
    total = sum(_values(outcomes, whole))
    return sum(_values(outcomes, part)) / total if total else None
