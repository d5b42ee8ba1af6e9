"""What is measured of one answer, always by the edge's clock. Pure: times come in as arguments, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common.types import Commit, Progress


@dataclass
class Figures:
    """Counters and times of one answer; `report` turns them into the published names (`docs/report.md`)."""

    started_at: float = 0.0
    opened_at: float | None = None
    drafter_ready_at: float | None = None
    first_provisional_at: float | None = None
    last_provisional_at: float | None = None
    first_commit_at: float | None = None
    last_commit_at: float | None = None
    finished_at: float = 0.0
    alone: bool = False
    tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    verifications: int = 0
    verified_tokens: int = 0
    target_passes: int = 0
    rollbacks: int = 0
    resumes: int = 0
    stale_drafts: int = 0
    draft_tokens_made: int = 0
    draft_tokens_sent: int = 0
    drafted_by_position: list[int] = field(default_factory=list)
    accepted_by_position: list[int] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)
    cloud_forward_us: int = 0
    uplink_bytes: dict[str, int] = field(default_factory=lambda: {"video": 0, "drafts": 0, "control": 0})
    downlink_bytes: int = 0
    stages: list[dict[str, Any]] = field(default_factory=list)
    _sent_at: dict[int, float] = field(default_factory=dict)

    def provisional(self, now: float) -> None:
        """The drafter has something to show."""
        self.first_provisional_at = self.first_provisional_at or now
        self.last_provisional_at = now

    def sent_draft(self, draft_id: int, count: int, now: float) -> None:
        """A draft of `count` tokens went up."""
        self.draft_tokens_sent += count
        self._sent_at[draft_id] = now

    def commit(self, commit: Commit, fresh: int, now: float) -> None:
        """A commit with `fresh` new tokens came down."""
        self.first_commit_at = self.first_commit_at or now
        self.last_commit_at = now
        self.tokens += fresh
        self.target_passes += 1
        self.cloud_forward_us += commit.timings.forward_us
        if commit.drafted:
            self._verification(commit)
        sent_at = self._sent_at.pop(commit.draft_id, None)
        if sent_at is not None:
            cloud_s = (commit.timings.queue_us + commit.timings.forward_us) / 1e6
            self.round_trips_ms.append(max(0.0, (now - sent_at - cloud_s) * 1e3))

    def _verification(self, commit: Commit) -> None:
        self.verifications += 1
        self.verified_tokens += len(commit.token_ids)
        self.drafted += commit.drafted
        self.accepted += commit.accepted
        missing = commit.drafted - len(self.drafted_by_position)
        self.drafted_by_position += [0] * missing
        self.accepted_by_position += [0] * missing
        for index in range(commit.drafted):
            self.drafted_by_position[index] += 1
            self.accepted_by_position[index] += index < commit.accepted

    def progress(self, progress: Progress) -> None:
        """The cloud told of a stage; its clock is put on the edge's timeline at the moment the session was opened."""
        base = ((self.opened_at or self.started_at) - self.started_at) * 1e3
        start = base + progress.start_us / 1e3
        self.stage(progress.stage.value, "cloud", start, start + progress.duration_us / 1e3)

    def stage(self, name: str, side: str, start_ms: float, end_ms: float) -> None:
        """A stage of either side, in milliseconds since the question."""
        span = {"name": name, "side": side, "start_ms": round(start_ms, 3), "end_ms": round(end_ms, 3)}
        self.stages.append(span)

    def report(self, tokens: int) -> dict[str, Any]:
        """The figures of an answer of `tokens` tokens, under their published names.

        Times are in milliseconds, rates are fractions; None where undefined. Of an answer that the edge finished alone,
        first and last token are the drafter's where the cloud committed none.
        """
        first, last = self.first_commit_at, self.last_commit_at
        if self.alone:
            first = first or self.first_provisional_at
            last = max((at for at in (last, self.last_provisional_at) if at is not None), default=None)
        timed = tokens > 1 and first is not None and last is not None
        return {
            "ttft_ms": self._since_start(first),
            "ttft_provisional_ms": self._since_start(self.first_provisional_at),
            "tpot_ms": round((last - first) * 1e3 / (tokens - 1), 3) if timed else None,  # type: ignore[operator]
            "total_ms": self._since_start(self.finished_at),
            "drafted": self.drafted,
            "accepted": self.accepted,
            "acceptance_rate": _ratio(self.accepted, self.drafted),
            "mean_acceptance_length": _ratio(self.verified_tokens, self.verifications),
            "accepted_by_position": self.accepted_by_position,
            "drafted_by_position": self.drafted_by_position,
            "verifications": self.verifications,
            "target_passes": self.target_passes,
            "rollbacks": self.rollbacks,
            "resumes": self.resumes,
            "stale_drafts": self.stale_drafts,
            "draft_tokens_made": self.draft_tokens_made,
            "draft_tokens_wasted": max(0, self.draft_tokens_made - self.accepted),
            "round_trip_ms": _median(self.round_trips_ms),
            "cloud_forward_ms": round(self.cloud_forward_us / 1e3, 3),
            "uplink_bytes": dict(self.uplink_bytes),
            "downlink_bytes": self.downlink_bytes,
            "stages": self.stages,
        }

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else round((at - self.started_at) * 1e3, 3)


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _median(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 3) if values else None
