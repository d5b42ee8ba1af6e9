"""Which paradigm to use: the research log's thresholds, and what was measured, side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.paradigms.statistics import Spread, by_label, paired_ratios
from benchmarks.results import Run


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the log's rule looks at. None: not known, so that rule doesn't fire."""

    rtt_ms: float | None = None
    uplink_mbps: float | None = None
    private: bool = False
    edge_tflops: float | None = None
    edge_memory_gb: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A paradigm and why."""

    paradigm: str
    why: str


def choose_paradigm(conditions: Conditions) -> Choice:
    """The rule of the research log. Its thresholds are guesses; it is here to be compared with measurements.

    Source: the log's offload strategies. High privacy: EDGE_ONLY; RTT over 50 ms, bandwidth under 10 Mbit/s or an edge
    of over 50 TFLOPS: EDGE_VISION; edge memory under 4 GB, and otherwise: STREAM_TO_CLOUD.
    """
    if conditions.private:
        return Choice("edge_only", "privacy is asked for")
    if conditions.rtt_ms is not None and conditions.rtt_ms > 50:
        return Choice("edge_vision", f"RTT {conditions.rtt_ms:g} ms is over 50")
    if conditions.uplink_mbps is not None and conditions.uplink_mbps < 10:
        return Choice("edge_vision", f"uplink {conditions.uplink_mbps:g} Mbit/s is under 10")
    if conditions.edge_tflops is not None and conditions.edge_tflops > 50:
        return Choice("edge_vision", f"the edge has {conditions.edge_tflops:g} TFLOPS, over 50")
    if conditions.edge_memory_gb is not None and conditions.edge_memory_gb < 4:
        return Choice("stream_to_cloud", f"the edge has {conditions.edge_memory_gb:g} GB, under 4")
    return Choice("stream_to_cloud", "no other threshold is crossed")


def choose_measured(runs: Sequence[Run]) -> Choice | None:
    """The lossless paradigm over the link with the least total time, in the median of paired ratios to `cloud_only`.

    Where the quartiles of its ratio reach 1, it says that the difference is within the spread. None without
    `cloud_only` among the runs.
    """
    groups = by_label(run for run in runs if run.lossless and run.paradigm != "in_process")
    base = groups.get("cloud_only")
    if base is None:
        return None
    spreads = {
        label: Spread.of(paired_ratios(group, base, lambda run: run.total_ms)) for label, group in groups.items()
    }
    known = {label: spread for label, spread in spreads.items() if spread is not None}
    best = min(known, key=lambda label: known[label].median)
    spread = known[best]
    if best == "cloud_only":
        second = min((s.median for label, s in known.items() if label != best), default=None)
        return Choice(best, "nothing else was measured" if second is None else f"the next best takes {second:.2f}x")
    why = f"total {spread.median:.2f}x of cloud_only (quartiles {spread.low:.2f} to {spread.high:.2f})"
    return Choice(best, why + ("; within the spread" if spread.high >= 1 else ""))


def choices(link: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """Both choices side by side, for `meta`: by the log's thresholds for this link, and by these runs."""
    conditions = Conditions(rtt_ms=link.get("rtt_ms"), uplink_mbps=link.get("uplink_mbps"))
    measured = choose_measured(runs)
    return {
        "by_thresholds": asdict(choose_paradigm(conditions)),
        "by_measurement": asdict(measured) if measured is not None else None,
    }
