"""Which paradigm to use: the research log's thresholds, and what was measured, side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.paradigms.statistics import Spread, by_label, paired_ratios
from benchmarks.results import Run, is_ahead


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

    Of those to which the clip is given with the question: `choose_ahead` chooses among the others. Where the quartiles
    of its ratio reach 1, it says that the difference is within the spread. None without `cloud_only` among the runs.
    """
    known = _ratios_to_cloud_only([run for run in runs if not run.ahead])
    if not known:
        return None
    best = min(known, key=lambda label: known[label].median)
    spread = known[best]
    if best == "cloud_only":
        second = min((s.median for label, s in known.items() if label != best), default=None)
        return Choice(best, "nothing else was measured" if second is None else f"the next best takes {second:.2f}x")
    return Choice(best, _why(spread))


def choose_ahead(runs: Sequence[Run]) -> Choice | None:
    """The same among paradigms that stream the clip while it is recorded, for questions that come at its end.

    They are held against `cloud_only`, which uploads then, and against each other. None if none was measured.
    """
    known = _ratios_to_cloud_only(runs)
    streamed = {label: spread for label, spread in known.items() if is_ahead(label)}
    if not streamed:
        return None
    best = min(streamed, key=lambda label: streamed[label].median)
    others = [f"{label} {spread.median:.2f}x" for label, spread in streamed.items() if label != best]
    return Choice(best, "; ".join([_why(streamed[best]), *others]))


def _ratios_to_cloud_only(runs: Sequence[Run]) -> dict[str, Spread]:
    groups = by_label(run for run in runs if run.lossless and run.paradigm != "in_process")
    base = groups.get("cloud_only")
    if base is None:
        return {}
    spreads = {
        label: Spread.of(paired_ratios(group, base, lambda run: run.total_ms)) for label, group in groups.items()
    }
    return {label: spread for label, spread in spreads.items() if spread is not None}


def _why(spread: Spread) -> str:
    why = f"total {spread.median:.2f}x of cloud_only (quartiles {spread.low:.2f} to {spread.high:.2f})"
    return why + ("; within the spread" if spread.high >= 1 else "")


def choices(link: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """The choices side by side, for `meta`: by the log's thresholds for this link, and by these runs."""
    conditions = Conditions(rtt_ms=link.get("rtt_ms"), uplink_mbps=link.get("uplink_mbps"))
    measured, ahead = choose_measured(runs), choose_ahead(runs)
    return {
        "by_thresholds": asdict(choose_paradigm(conditions)),
        "by_measurement": asdict(measured) if measured is not None else None,
        "by_measurement_ahead": asdict(ahead) if ahead is not None else None,
    }
