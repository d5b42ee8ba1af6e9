"""The metrics of speculative decoding, which both sides publish by the names that vLLM gave them (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.metrics import Family, Kind, Metric, by, one

_PLACES = 16


@dataclass(frozen=True, slots=True)
class SpecDecodeMetrics:
    """One side's five; make them with `of`."""

    drafts: Metric
    draft_tokens: Metric
    accepted: Metric
    accepted_at: Metric
    drafted_at: Metric

    @classmethod
    def of(cls, side: str, *, drafts: str) -> SpecDecodeMetrics:
        """Those of `side`, cloud or edge; `drafts` is the help of the first."""
        prefix, kind, place = f"eventspec_{side}_spec_decode_num_", Kind.COUNTER, ("position",)
        return cls(
            Metric(prefix + "drafts", kind, drafts),
            Metric(prefix + "draft_tokens", kind, "Draft tokens checked"),
            Metric(prefix + "accepted_tokens", kind, "Draft tokens that equalled the target's choice"),
            Metric(
                prefix + "accepted_tokens_per_pos",
                kind,
                "Accepted draft tokens by place in the checked run, from 0",
                place,
            ),
            Metric(
                prefix + "draft_tokens_per_pos", kind, "Checked draft tokens by place in the checked run, from 0", place
            ),
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All five."""
        return (self.drafts, self.draft_tokens, self.accepted, self.accepted_at, self.drafted_at)

    def families(
        self,
        *,
        drafts: float,
        draft_tokens: float,
        accepted: float,
        accepted_at: Sequence[int],
        drafted_at: Sequence[int],
    ) -> list[Family]:
        """What was counted; `accepted_at[p]` and `drafted_at[p]` are tokens in place p of the checked run."""
        return [
            one(self.drafts, drafts),
            one(self.draft_tokens, draft_tokens),
            one(self.accepted, accepted),
            _by_place(self.accepted_at, accepted_at),
            _by_place(self.drafted_at, drafted_at),
        ]


def _by_place(metric: Metric, counts: Sequence[int]) -> Family:
    """The usual places are there from the beginning: Prometheus sees no increase in a counter that begins above 0."""
    there = [*counts, *[0] * (_PLACES - len(counts))]
    return by(metric, {str(place): count for place, count in enumerate(there)})
