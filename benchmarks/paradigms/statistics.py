"""Medians, spreads and paired ratios of runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles

from benchmarks.results import Run

Figure = Callable[[Run], float | None]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of `count` values."""

    low: float
    median: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Of the values that are there; None if there are none. Quartiles are interpolated inclusively."""
        there = [value for value in values if value is not None]
        if not there:
            return None
        if len(there) == 1:
            return cls(there[0], there[0], there[0], 1)
        low, middle, high = quantiles(there, n=4, method="inclusive")
        return cls(low, middle, high, len(there))


def by_label(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by paradigm and mode, in the order of their first appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    return groups


def paired_ratios(runs: Sequence[Run], base: Sequence[Run], figure: Figure) -> list[float]:
    """For each run, its figure over that of the base run of the same clip, question, seed and repetition.

    Paired, because questions differ more than paradigms do: the ratio is taken where all else is equal.
    """
    bases = {_pair_key(run): figure(run) for run in base}
    ratios = []
    for run in runs:
        value, other = figure(run), bases.get(_pair_key(run))
        if value is not None and other:
            ratios.append(value / other)
    return ratios


def _pair_key(run: Run) -> tuple[str, str, int, int]:
    return run.clip, run.question, run.seed, run.repetition


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value that `share` (0 to 1) of the values don't exceed, linearly interpolated; None if there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
