"""How often drafted tokens were the target's own choice, by place in the draft."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from benchmarks.report.settings import Setting
from benchmarks.results import Run

MIN_CHECKED = 5


@dataclass(frozen=True, slots=True)
class Share:
    """`accepted` of `drafted` tokens."""

    name: str
    accepted: int
    drafted: int

    @property
    def rate(self) -> float:
        """The accepted share."""
        return self.accepted / self.drafted

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (Wilson); it takes the tokens for independent, which is a simplification."""
        n, z = self.drafted, 1.96
        middle = (self.rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(self.rate * (1 - self.rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return (max(0.0, min(self.rate, middle - half)), min(1.0, max(self.rate, middle + half)))


@dataclass(frozen=True, slots=True)
class Curve:
    """Acceptance of one label by place in the checked draft, where at least `MIN_CHECKED` tokens were checked."""

    label: str
    replayed: str
    shares: tuple[Share, ...]


def curves_of(settings: Iterable[Setting]) -> list[Curve]:
    """A curve of every label that drafted, over all links of the same models."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for setting in settings:
        for run in setting.runs:
            if sum(run.drafted_by_position):
                groups.setdefault((setting.models, run.label, run.replayed), []).append(run)
    curves = (Curve(label, replayed, tuple(_by_place(runs))) for (_, label, replayed), runs in groups.items())
    return [curve for curve in curves if curve.shares]


def _by_place(runs: Sequence[Run]) -> list[Share]:
    places = max(len(run.drafted_by_position) for run in runs)
    drafted = [sum(_at(run.drafted_by_position, i) for run in runs) for i in range(places)]
    accepted = [sum(_at(run.accepted_by_position, i) for run in runs) for i in range(places)]
    return [
        Share(str(i + 1), min(a, d), d)
        for i, (a, d) in enumerate(zip(accepted, drafted, strict=True))
        if d >= MIN_CHECKED
    ]


def _at(values: Sequence[int], index: int) -> int:
    return values[index] if index < len(values) else 0
