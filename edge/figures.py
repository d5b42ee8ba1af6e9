"""What is measured of one answer, always by the edge's clock. Pure: times come in as arguments, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common.types import Commit, Opened, Progress

_TRACED = 1_000  # drafts: a long answer's report stays small


@dataclass
class Figures:
    """Counters and times of one answer; `report` turns them into the published names (`docs/report.md`)."""

    started_at: float = 0.0
    introduced_at: float | None = None
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
    salvaged_drafts: int = 0
    draft_tokens_made: int = 0
    draft_tokens_sent: int = 0
    draft_jobs: int = 0
    ahead_hits: int = 0
    ahead_misses: int = 0
    branches: int = 0
    branch_hits: int = 0
    branch_misses: int = 0
    commits_off: int = 0
    pass_s: float | None = None
    drafted_by_position: list[int] = field(default_factory=list)
    accepted_by_position: list[int] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)
    draft_trace: list[list[float]] = field(default_factory=list)
    cloud_forward_us: int = 0
    uplink_bytes: dict[str, int] = field(default_factory=lambda: {"video": 0, "drafts": 0, "control": 0})
    downlink_bytes: int = 0
    stages: list[dict[str, Any]] = field(default_factory=list)
    free_drafts: int = 0
    draft_form: str = "ids"
    cloud_replay: str = ""
    replay_overruns: int = 0
    _sent_at: dict[int, float] = field(default_factory=dict)
    _base_of: dict[int, int] = field(default_factory=dict)
    _open_trip_s: float | None = None
    _progress: list[Progress] = field(default_factory=list)
    _commits: list[tuple[float, Commit, int]] = field(default_factory=list)

    def opened(self, message: Opened, now: float) -> None:
        """The cloud has taken the session in."""
        self.cloud_replay = message.replay or self.cloud_replay
        if self.opened_at is None:
            self.opened_at = now
            self._open_trip_s = None if self.introduced_at is None else now - self.introduced_at

    def provisional(self, now: float) -> None:
        """The drafter has something to show."""
        self.first_provisional_at = self.first_provisional_at or now
        self.last_provisional_at = now

    def sent_draft(self, draft_id: int, count: int, now: float, base: int = 0) -> None:
        """A draft of `count` tokens from position `base` on went up."""
        self.draft_tokens_sent += count
        self._sent_at[draft_id] = now
        self._base_of[draft_id] = base

    def drafted_job(self, count: int) -> None:
        """The drafter made `count` tokens."""
        self.draft_jobs += 1
        self.draft_tokens_made += count

    def met_ahead(self, hit: bool) -> None:
        """A commit met work that was drafted ahead of it, and left it valid or not."""
        self.ahead_hits += hit
        self.ahead_misses += not hit

    def met_branch(self, hit: bool) -> None:
        """A commit disagreed with the drafter, and a branch had its continuation ready or not."""
        self.branch_hits += hit
        self.branch_misses += not hit

    def commit(self, commit: Commit, fresh: int, now: float) -> float | None:
        """A commit with `fresh` new tokens came down.

        Returns:
            Seconds from its newest draft's departure to now, less its own pass: a round trip, and what the draft waited
            for the pass before. None if it names no draft, or one that an earlier commit has named.
        """
        if self.first_commit_at is None:
            self.first_commit_at = now
            self.free_drafts = self.draft_tokens_made
        self.last_commit_at = now
        self._commits.append((now, commit, fresh))
        self.tokens += fresh
        self.target_passes += 1
        self.cloud_forward_us += commit.timings.forward_us
        if commit.drafted:
            self._verification(commit)
        base = self._base_of.pop(commit.draft_id, commit.start_position)
        self.salvaged_drafts += commit.drafted > 0 and base < commit.start_position
        sent_at = self._sent_at.pop(commit.draft_id, None)
        if sent_at is not None:
            cloud_s = (commit.timings.queue_us + commit.timings.forward_us) / 1e6
            self.round_trips_ms.append(max(0.0, (now - sent_at - cloud_s) * 1e3))
            if len(self.draft_trace) < _TRACED:
                times_ms = (sent_at - self.started_at) * 1e3, (now - self.started_at) * 1e3
                cloud_ms = commit.timings.queue_us / 1e3, commit.timings.forward_us / 1e3
                self.draft_trace.append([round(ms, 3) for ms in (*times_ms, *cloud_ms)])
            return now - sent_at - commit.timings.forward_us / 1e6
        return None

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
        """The cloud told of a stage."""
        self._progress.append(progress)

    def stage(self, name: str, side: str, start_ms: float, end_ms: float) -> None:
        """A stage of either side, in milliseconds since the question."""
        self.stages.append(_span(name, side, start_ms, end_ms))

    def _one_way_s(self) -> float:
        """Half of the shortest round trip that was measured: how long a word of the cloud was under way."""
        trips = [trip / 1e3 for trip in self.round_trips_ms]
        trips += [self._open_trip_s] if self._open_trip_s is not None else []
        return min(trips, default=0.0) / 2

    def _cloud_stages(self) -> list[dict[str, Any]]:
        """The cloud's spans on the edge's timeline: its own durations, placed by when the edge heard of them.

        Stages of the beginning count from the session's opening, a pass ends with its commit's departure; both were
        half a round trip before the edge heard. The pass of the first commit is the end of `prefill`.
        """
        way_s = self._one_way_s()
        base = ((self.opened_at or self.started_at) - self.started_at - way_s) * 1e3
        spans = []
        for told in self._progress:
            start = base + told.start_us / 1e3
            spans.append(_span(told.stage.value, "cloud", start, start + told.duration_us / 1e3))
        for now, commit, _ in self._commits[1:]:
            end = (now - self.started_at - way_s) * 1e3
            name = "verify" if commit.drafted else "decode"
            spans.append(_span(name, "cloud", end - commit.timings.forward_us / 1e3, end))
        return spans

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
            "draft_form": self.draft_form,
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
            "salvaged_drafts": self.salvaged_drafts,
            "draft_tokens_made": self.draft_tokens_made,
            "draft_tokens_wasted": max(0, self.draft_tokens_made - self.accepted),
            "round_trip_ms": _median(self.round_trips_ms),
            "cloud_forward_ms": round(self.cloud_forward_us / 1e3, 3),
            "uplink_bytes": dict(self.uplink_bytes),
            "downlink_bytes": self.downlink_bytes,
            "free_drafts": self.free_drafts,
            "ahead_hits": self.ahead_hits,
            "ahead_misses": self.ahead_misses,
            "branches": self.branches,
            "branch_hits": self.branch_hits,
            "branch_misses": self.branch_misses,
            "draft_length_mean": _ratio(self.draft_tokens_made, self.draft_jobs),
            "drafting_off_share": _ratio(self.commits_off, len(self._commits)),
            "speculation_pays": None if (gain := self._gain(tokens)) is None else gain > 1.0,
            "speculation_gain": gain,
            "commit_trace": [
                [self._since_start(now), fresh, commit.drafted, commit.accepted] for now, commit, fresh in self._commits
            ],
            "draft_trace": self.draft_trace,
            "replay_overruns": self.replay_overruns,
            "stages": [*self.stages, *self._cloud_stages()],
        }

    def _gain(self, tokens: int) -> float | None:
        """How many times as long the cloud alone would have taken: after its first token, a pass each."""
        first, last = self.first_commit_at, self.last_commit_at
        if not self.draft_jobs or self.alone or self.pass_s is None or first is None or last is None:
            return None
        total_s = self.finished_at - self.started_at
        return round((total_s - (last - first) + (tokens - 1) * self.pass_s) / total_s, 4) if total_s > 0 else None

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else round((at - self.started_at) * 1e3, 3)


def _span(name: str, side: str, start_ms: float, end_ms: float) -> dict[str, Any]:
    return {"name": name, "side": side, "start_ms": round(start_ms, 3), "end_ms": round(end_ms, 3)}


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _median(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 3) if values else None
