"""One answer on one clock: what edge, link and cloud did when, and what was hidden behind what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from benchmarks.results import Run

LANES = ("edge", "link", "cloud")
_LINK_WORDS = ("upload", "download", "uplink", "downlink", "transfer")
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Span:
    """A stage at work, in ms since the question; `row` is its place within its lane."""

    name: str
    start: float
    end: float
    row: int


@dataclass(frozen=True, slots=True)
class Lane:
    """What one side did. `rows` is how many rows its spans need so that none covers another."""

    name: str
    spans: tuple[Span, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stages of one run, ready to be drawn.

    Attributes:
        hidden: intervals in which the edge worked while link or cloud were busy, in ms.
        edge_work_ms: how long the edge worked at all, its parallel stages counted once.
        first_token_ms: TTFT; None if there is none.
    """

    label: str
    clip: str
    question: str
    answer: str
    tokens: int
    lanes: tuple[Lane, ...]
    hidden: tuple[Interval, ...]
    edge_work_ms: float
    first_token_ms: float | None
    end_ms: float

    @property
    def hidden_ms(self) -> float:
        """How much of the edge's work ran while link or cloud were busy."""
        return length(self.hidden)


def lane_of(stage: Mapping[str, Any]) -> str:
    """The lane of a stage: uploads and downloads are the link's whoever reports them; unknown sides get their own."""
    name, side = str(stage["name"]), str(stage.get("side", ""))
    return "link" if any(word in name for word in _LINK_WORDS) else side or "elsewhere"


def timeline_of(run: Run) -> Timeline:
    """Lay a run's stages out in lanes."""
    by_lane: dict[str, list[tuple[str, float, float]]] = {}
    for stage in run.stages:
        span = (str(stage["name"]), float(stage["start_ms"]), float(stage["end_ms"]))
        by_lane.setdefault(lane_of(stage), []).append(span)
    order = [*LANES, *(name for name in by_lane if name not in LANES)]
    lanes = tuple(_lane(name, by_lane.get(name, [])) for name in order)
    edge, others = _busy(by_lane.get("edge", [])), _busy([*by_lane.get("link", []), *by_lane.get("cloud", [])])
    return Timeline(
        label=run.label,
        clip=run.clip,
        question=run.question,
        answer=run.answer,
        tokens=run.tokens,
        lanes=lanes,
        hidden=tuple(overlap(edge, others)),
        edge_work_ms=length(edge),
        first_token_ms=run.ttft_ms,
        end_ms=run.total_ms,
    )


def _lane(name: str, spans: Sequence[tuple[str, float, float]]) -> Lane:
    """Stages of one name stay in one row where they can; no span covers another."""
    rows: list[list[Interval]] = []
    placed: list[Span] = []
    by_name: dict[str, list[Interval]] = {}
    for stage, start, end in sorted(spans, key=lambda span: span[1:]):
        by_name.setdefault(stage, []).append((start, end))
    for stage, intervals in by_name.items():
        whole = next((i for i, row in enumerate(rows) if all(_fits(row, interval) for interval in intervals)), None)
        for interval in intervals:
            row = whole if whole is not None and _fits(rows[whole], interval) else _first_fit(rows, interval)
            rows[row].append(interval)
            placed.append(Span(stage, *interval, row))
    return Lane(name, tuple(placed), max(1, len(rows)))


def _first_fit(rows: list[list[Interval]], interval: Interval) -> int:
    for index, row in enumerate(rows):
        if _fits(row, interval):
            return index
    rows.append([])
    return len(rows) - 1


def _fits(row: Sequence[Interval], interval: Interval) -> bool:
    return all(interval[1] <= start or end <= interval[0] for start, end in row)


def _busy(spans: Iterable[tuple[str, float, float]]) -> list[Interval]:
    return union((start, end) for _, start, end in spans)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time as disjoint intervals, in order."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif end > start:
            found.append((start, end))
    return found


def overlap(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """The time that lies in both of two lists of disjoint intervals."""
    both = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return sorted((start, end) for start, end in both if end > start)


def length(intervals: Iterable[Interval]) -> float:
    """The summed length of disjoint intervals."""
    return sum(end - start for start, end in intervals)


def median_question(runs: Sequence[Run]) -> tuple[str, str] | None:
    """Clip and question whose answers took the median time; None where there are no runs with stages."""
    times: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if run.stages:
            times.setdefault((run.clip, run.question), []).append(run.total_ms)
    if not times:
        return None
    middle = {key: median_low(values) for key, values in times.items()}
    wanted = median_low(middle.values())
    return next(key for key, value in middle.items() if value == wanted)


def median_run(runs: Sequence[Run], question: tuple[str, str] | None = None) -> Run | None:
    """Of the runs with stages (on one question, where there are such), that with the median total time."""
    staged = [run for run in runs if run.stages]
    asked = [run for run in staged if question is None or (run.clip, run.question) == question] or staged
    if not asked:
        return None
    wanted = median_low([run.total_ms for run in asked])
    return next(run for run in asked if run.total_ms == wanted)


@dataclass(frozen=True, slots=True)
class StageTime:
    """Median over runs of the time that a stage took in an answer, its spans summed; `runs` had that stage."""

    name: str
    lane: str
    median_ms: float
    spans: float
    runs: int


def stage_times(runs: Sequence[Run]) -> list[StageTime]:
    """How long each stage took, in the order in which stages first start."""
    sums: dict[tuple[str, str], list[float]] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    starts: dict[tuple[str, str], float] = {}
    for run in runs:
        own: dict[tuple[str, str], list[float]] = {}
        for stage in run.stages:
            key = (lane_of(stage), str(stage["name"]))
            own.setdefault(key, []).append(float(stage["end_ms"]) - float(stage["start_ms"]))
            starts[key] = min(starts.get(key, float(stage["start_ms"])), float(stage["start_ms"]))
        for key, parts in own.items():
            sums.setdefault(key, []).append(sum(parts))
            counts.setdefault(key, []).append(len(parts))
    ordered = sorted(sums, key=lambda key: (LANES.index(key[0]) if key[0] in LANES else 9, starts[key]))
    return [
        StageTime(key[1], key[0], median_low(sums[key]), median_low(counts[key]), len(sums[key])) for key in ordered
    ]
