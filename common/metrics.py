"""Metrics as plain values: names, histograms, families. No library in here; `common/metrics_server.py` serves them.

Counting happens where things happen, with integers; families are put together when somebody asks, in another thread.
A reader may see counts of which some are a moment older than others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate

LATENCY_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SHORT_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Kind(Enum):
    """Of a metric, as Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is published: counters by a name without `_total`, which every reader sees with it."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def published(self) -> str:
        """The name as it is scraped; a histogram's without `_bucket`, `_sum` and `_count`."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


@dataclass
class Histogram:
    """Counts by bucket. `bounds` are the upper ends, in seconds; values are observed and summed in microseconds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum_us: int = 0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value_us: float) -> None:
        """One more value, in microseconds."""
        self.counts[bisect_left(self.bounds, value_us / 1e6)] += 1
        self.sum_us += round(value_us)

    def add(self, other: Histogram) -> None:
        """All of another's, which has the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_us += other.sum_us

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper end, as they are published."""
        ends = [*(str(bound) for bound in self.bounds), "+Inf"]
        return list(zip(ends, map(float, accumulate(self.counts)), strict=True))


Value = float | Histogram


@dataclass(frozen=True, slots=True)
class Family:
    """A metric's values now, by the values of its labels."""

    metric: Metric
    values: Mapping[tuple[str, ...], Value]


Read = Callable[[], Iterable[Family]]


def one(metric: Metric, value: Value) -> Family:
    """A metric without labels."""
    return Family(metric, {(): value})


def by(metric: Metric, values: Mapping[str, Value]) -> Family:
    """A metric with one label."""
    return Family(metric, {(label,): value for label, value in values.items()})


def at_least(counts: Sequence[int]) -> list[int]:
    """From how often each length came to how often each position was reached; trailing zeros are left out.

    Args:
        counts: `counts[n]` runs had n tokens.

    Returns:
        By position p, counted from 0, the runs of more than p tokens.
    """
    reached = list(accumulate(reversed(counts[1:])))[::-1]
    while reached and not reached[-1]:
        reached.pop()
    return reached
