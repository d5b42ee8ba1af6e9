"""Figures of many clients at one cloud, and the theory that they are held against. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.paradigms.five_stages import length
from benchmarks.paradigms.statistics import percentile
from benchmarks.results import Run


@dataclass(frozen=True, slots=True)
class Objectives:
    """When an answer counts for goodput: first token and time a token at most so long, in milliseconds."""

    ttft_ms: float = 2_000.0
    tpot_ms: float = 100.0

    def met(self, run: Run) -> bool:
        """True if the answer keeps both; an answer of one token has no time a token."""
        return run.ttft_ms is not None and run.ttft_ms <= self.ttft_ms and (run.tpot_ms or 0.0) <= self.tpot_ms


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """One paradigm with so many clients, in a window of `window_s` seconds. Times in ms, rates a second."""

    paradigm: str
    mode: str
    clients: int
    answers: int
    window_s: float
    tokens_per_s: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    total_p50_ms: float | None
    passes_per_token: float | None
    acceptance: float | None
    goodput_per_s: float
    goodput_share: float | None

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return asdict(self)


def fleet_figures(runs: Sequence[Run], clients: int, window_s: float, objectives: Objectives) -> FleetFigures:
    """Figures of the answers that `clients` asked for within the window, one after another each.

    `extra["asked_at_s"]` says when in the window each was asked. An answer that ended after the window counts with the
    share of it that lay inside, for tokens and for goodput.
    """
    inside = [_share_inside(run, window_s) for run in runs]
    tokens = sum(run.tokens for run in runs)
    drafted = sum(run.drafted for run in runs)
    passes = sum(run.target_passes for run in runs)
    ttfts = [run.ttft_ms for run in runs if run.ttft_ms is not None]
    tpots = [run.tpot_ms for run in runs if run.tpot_ms is not None]
    met = [objectives.met(run) for run in runs]
    return FleetFigures(
        paradigm=runs[0].paradigm if runs else "",
        mode=runs[0].mode if runs else "",
        clients=clients,
        answers=len(runs),
        window_s=window_s,
        tokens_per_s=sum(run.tokens * share for run, share in zip(runs, inside, strict=True)) / window_s,
        ttft_p50_ms=percentile(ttfts, 0.5),
        ttft_p99_ms=percentile(ttfts, 0.99),
        tpot_p50_ms=percentile(tpots, 0.5),
        tpot_p99_ms=percentile(tpots, 0.99),
        total_p50_ms=percentile([run.total_ms for run in runs], 0.5),
        passes_per_token=passes / tokens if passes and tokens else None,
        acceptance=sum(run.accepted for run in runs) / drafted if drafted else None,
        goodput_per_s=sum(share for share, good in zip(inside, met, strict=True) if good) / window_s,
        goodput_share=sum(met) / len(met) if met else None,
    )


def _share_inside(run: Run, window_s: float) -> float:
    total_s = run.total_ms / 1e3
    left_s = window_s - run.extra["asked_at_s"]
    return 1.0 if left_s >= total_s else max(0.0, left_s / total_s)


@dataclass(frozen=True, slots=True)
class Theory:
    """How many clients one cloud serves before they wait for each other, by the field's bound, without batching.

    A client's round takes gamma drafted tokens (`drafter_ms` each) and one verification (`verify_ms`); the cloud is
    needed for the verification alone, so it has room for 1 + gamma * t_d / t_v clients (SLED, SpecEdge). The round trip
    is idle time for the cloud too: `with_round_trip` counts it.
    """

    gamma: float
    drafter_ms: float
    verify_ms: float
    round_trip_ms: float

    @property
    def clients(self) -> float:
        """1 + gamma * t_d / t_v."""
        return 1 + self.gamma * self.drafter_ms / self.verify_ms

    @property
    def with_round_trip(self) -> float:
        """1 + (gamma * t_d + RTT) / t_v."""
        return 1 + (self.gamma * self.drafter_ms + self.round_trip_ms) / self.verify_ms

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {**asdict(self), "clients": self.clients, "with_round_trip": self.with_round_trip}


def theory_of(runs: Iterable[Run]) -> Theory | None:
    """The bound with the figures of these runs, which should be of a client alone; None if nothing was verified.

    gamma: drafted a verification. t_d: time in the drafter's `draft` spans over tokens made. t_v: the cloud's forward
    time over target passes. RTT: the link profile's; without a link 0.
    """
    runs = list(runs)
    verifications, passes = sum(run.verifications for run in runs), sum(run.target_passes for run in runs)
    made = sum(run.extra.get("draft_tokens_made") or 0 for run in runs)
    forward_ms = sum(run.extra.get("cloud_forward_ms") or 0.0 for run in runs)
    drafting_ms = sum(
        length([(s["start_ms"], s["end_ms"]) for s in run.stages if s["name"] == "draft"]) for run in runs
    )
    if not (verifications and passes and made and forward_ms):
        return None
    gamma = sum(run.drafted for run in runs) / verifications
    return Theory(gamma, drafting_ms / made, forward_ms / passes, float(runs[0].link.get("rtt_ms", 0.0)))


def most_clients(figures: Iterable[FleetFigures], share: float = 0.9) -> int:
    """The largest client count at which at least `share` of the answers met the objectives; 0 if none did."""
    return max((f.clients for f in figures if f.goodput_share is not None and f.goodput_share >= share), default=0)
