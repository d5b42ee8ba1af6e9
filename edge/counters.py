"""What the edge counts over all its answers, out of their reports: once an answer, nothing a token. No library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.ask import AskRequest, Mode
from common.errors import EventSpecError
from common.failures import failure_of
from common.metrics import LATENCY_S, SHORT_S, Histogram

GAINS = (0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
_SUMS = (
    "tokens",
    "drafted",
    "accepted",
    "verifications",
    "target_passes",
    "rollbacks",
    "resumes",
    "stale_drafts",
    "draft_tokens_made",
    "draft_tokens_wasted",
    "free_drafts",
    "ahead_hits",
    "ahead_misses",
    "branch_hits",
    "branch_misses",
    "downlink_bytes",
)


@dataclass
class EdgeCounters:
    """Sums over answers. `sums` has the report's names (docs/report.md); `fallback`: the last answer ended alone."""

    running: int = 0
    watching: int = 0
    fallback: bool = False
    fallbacks: int = 0
    dropped: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    uplink_bytes: Counter[str] = field(default_factory=Counter)
    drafted_at: list[int] = field(default_factory=list)
    accepted_at: list[int] = field(default_factory=list)
    cloud_forward_ms: float = 0.0
    gain: Histogram = field(default_factory=lambda: Histogram(GAINS))
    round_trip: Histogram = field(default_factory=lambda: Histogram(SHORT_S))
    ttft: Histogram = field(default_factory=lambda: Histogram(LATENCY_S))
    ttft_provisional: Histogram = field(default_factory=lambda: Histogram(LATENCY_S))
    tpot: Histogram = field(default_factory=lambda: Histogram(SHORT_S))
    total: Histogram = field(default_factory=lambda: Histogram(LATENCY_S))

    def answered(self, ask: AskRequest, report: Mapping[str, Any]) -> None:
        """An answer is complete, and this is its report."""
        for name in _SUMS:
            self.sums[name] += report[name]
        self.modes[report["mode"]] += 1
        self.finished[str(report["finish_reason"])] += 1
        if ask.mode is not Mode.EDGE_ONLY:
            self.fallback = report["mode"] == Mode.EDGE_ONLY.value
            self.fallbacks += self.fallback
        self._speculation(report)
        self.uplink_bytes.update(report["uplink_bytes"])
        self.cloud_forward_ms += report["cloud_forward_ms"]
        for sent, heard, queue, forward in report["draft_trace"]:
            self.round_trip.observe(max(0.0, heard - sent - queue - forward) * 1e3)
        for name in ("ttft", "ttft_provisional", "tpot", "total"):
            if (value_ms := report[f"{name}_ms"]) is not None:
                getattr(self, name).observe(value_ms * 1e3)

    def _speculation(self, report: Mapping[str, Any]) -> None:
        pays = report["speculation_pays"]
        self.verdicts["unknown" if pays is None else "pays" if pays else "does_not_pay"] += 1
        if report["speculation_gain"] is not None:
            self.gain.observe(report["speculation_gain"] * 1e6)
        if report["draft_tokens_made"]:
            self.forms[report["draft_form"]] += 1
        self.drafted_at = _added(self.drafted_at, report["drafted_by_position"])
        self.accepted_at = _added(self.accepted_at, report["accepted_by_position"])

    def failure(self, error: EventSpecError) -> None:
        """There was no answer."""
        self.failed[failure_of(error).code.value] += 1


def _added(mine: Sequence[int], more: Sequence[int]) -> list[int]:
    length = max(len(mine), len(more))
    both = ([*counts, *[0] * (length - len(counts))] for counts in (mine, more))
    return [a + b for a, b in zip(*both, strict=True)]
