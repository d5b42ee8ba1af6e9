"""The five stages of both models from the spans of a run: load, preprocess, vision encode, prefill, decode. Pure.

stage       drafter                     target
load        events read, rasterised     video uploaded
preprocess  CLIP's, of event pictures   video decoded, CLIP's preprocessing
vision      of event pictures           of video frames
prefill     its prompt                  its prompt
decode      drafts                      passes after the prefill
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

from benchmarks.paradigms.statistics import Spread
from benchmarks.results import Run

STAGES = ("load", "preprocess", "vision", "prefill", "decode")
MODELS = ("drafter", "target")
_STAGE_OF = {
    "load": ("drafter", "load"),
    "rasterise": ("drafter", "load"),
    "drafter_preprocess": ("drafter", "preprocess"),
    "drafter_vision": ("drafter", "vision"),
    "drafter_prefill": ("drafter", "prefill"),
    "draft": ("drafter", "decode"),
    "video_upload": ("target", "load"),
    "features_upload": ("target", "load"),
    "video_decode": ("target", "preprocess"),
    "preprocess": ("target", "preprocess"),
    "vision_encode": ("target", "vision"),
    "prefill": ("target", "prefill"),
    "vision_and_prefill": ("target", "prefill"),
    "verify": ("target", "decode"),
    "decode": ("target", "decode"),
}

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class StageFigures:
    """A stage of one model over several runs: when it began and ended, and how long it was at work, in ms."""

    model: str
    stage: str
    start_ms: Spread
    end_ms: Spread
    busy_ms: Spread


def spans_by_stage(run: Run) -> dict[tuple[str, str], list[Interval]]:
    """The run's spans under (model, stage).

    The clip's and the events' reading are both called load: the drafter's, or the target's where nothing is drafted.
    """
    found: dict[tuple[str, str], list[Interval]] = {}
    drafts = any(span["name"] == "drafter_prefill" for span in run.stages)
    for span in run.stages:
        key = _STAGE_OF.get(span["name"])
        if key is not None:
            key = key if drafts else ("target", key[1])
            found.setdefault(key, []).append((span["start_ms"], span["end_ms"]))
    return found


def stage_figures(runs: Sequence[Run]) -> list[StageFigures]:
    """Each stage that any run had, in order; medians over the runs that had it."""
    per_run = [spans_by_stage(run) for run in runs]
    figures = []
    for model in MODELS:
        for stage in STAGES:
            spans = [found[model, stage] for found in per_run if (model, stage) in found]
            start = Spread.of(min(begin for begin, _ in one) for one in spans)
            end = Spread.of(max(until for _, until in one) for one in spans)
            busy = Spread.of(length(one) for one in spans)
            if start is not None and end is not None and busy is not None:
                figures.append(StageFigures(model, stage, start, end, busy))
    return figures


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a run hid behind what.

    Attributes:
        overlap_ms: from the drafter's prefill to the target's: the time in which drafts cost nothing.
        estimated: floor(overlap / drafter's time a token): what the research log calls hidden tokens.
        free_drafts: tokens that were drafted before the first commit: what really happened.
        hidden: share of the drafter's work (all its stages) that lay beside the upload or the target's work.
    """

    overlap_ms: float
    estimated: int | None
    free_drafts: int | None
    hidden: float


def overlap(run: Run) -> Overlap | None:
    """The run's overlap; None without both prefills."""
    found = spans_by_stage(run)
    drafter, target = found.get(("drafter", "prefill")), found.get(("target", "prefill"))
    if not drafter or not target:
        return None
    overlap_ms = max(0.0, max(end for _, end in target) - max(end for _, end in drafter))
    mine = [span for (model, _), spans in found.items() if model == "drafter" for span in spans]
    theirs = [span for (model, _), spans in found.items() if model == "target" for span in spans]
    return Overlap(
        overlap_ms,
        _estimated(overlap_ms, found.get(("drafter", "decode"), []), run.extra),
        run.extra.get("free_drafts"),
        length(common(mine, theirs)) / length(mine) if length(mine) else 0.0,
    )


def _estimated(overlap_ms: float, drafting: Sequence[Interval], extra: Mapping[str, Any]) -> int | None:
    made = extra.get("draft_tokens_made") or 0
    busy = length(drafting)
    return floor(overlap_ms / (busy / made)) if made and busy else None


def union(spans: Iterable[Interval]) -> list[Interval]:
    """Spans joined where they touch, in order."""
    joined: list[Interval] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def length(spans: Iterable[Interval]) -> float:
    """Time that the spans cover."""
    return sum(end - start for start, end in union(spans))


def common(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """What both cover."""
    both = []
    others = union(other)
    for start, end in union(one):
        for low, high in others:
            if low < end and start < high:
                both.append((max(start, low), min(end, high)))
    return both
