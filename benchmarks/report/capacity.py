"""What a cloud carries: figures of fleets of clients, as `capacity` measured and `simulate` computed them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report.sources import Source

FIGURES = {
    "tokens_per_s": "answer tokens a second",
    "goodput_per_s": "answers a second within the objective",
    "ttft_p50_ms": "TTFT, median, ms",
    "ttft_p99_ms": "TTFT, 99th percentile, ms",
    "passes_per_token": "passes of the large model a token",
}
IN_TIME = 0.9
_SHARE = "goodput_share"


@dataclass(frozen=True, slots=True)
class Level:
    """A number of clients at once, and what came of it; a figure that wasn't made is missing in `figures`."""

    clients: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CapacityCurve:
    """One paradigm with more and more clients."""

    label: str
    levels: tuple[Level, ...]

    def of(self, figure: str) -> list[tuple[int, float]]:
        """Clients and that figure, where it was made."""
        return [(level.clients, level.figures[figure]) for level in self.levels if figure in level.figures]


@dataclass(frozen=True, slots=True)
class Bound:
    """Theory: so many clients keep drafting and verifying busy, 1 + gamma t_d / t_v, without batching.

    Attributes:
        with_round_trip: the same where a draft's round trip gives the large model time for others, too.
        words: the figures in the formula, as far as the file tells.
    """

    label: str
    clients: float
    with_round_trip: float | None
    words: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """The curves of one file.

    Attributes:
        objective: when an answer counts for goodput, in words; empty if the file doesn't say.
    """

    command: str
    source: str
    backend: str
    replayed: str
    link: Mapping[str, Any]
    objective: str
    curves: tuple[CapacityCurve, ...]
    bounds: tuple[Bound, ...] = ()


def capacities_of(sources: Iterable[Source]) -> list[Capacity]:
    """Of every file that has `fleets` in its `meta`."""
    found = []
    for source in sources:
        fleets = source.record.meta.get("fleets")
        if isinstance(fleets, Sequence) and not isinstance(fleets, str):
            curves = _curves([fleet for fleet in fleets if isinstance(fleet, Mapping)])
            if curves:
                found.append(_capacity(source, curves))
    return found


def _capacity(source: Source, curves: tuple[CapacityCurve, ...]) -> Capacity:
    meta = source.record.meta
    objectives, link = (meta.get(key) for key in ("objectives", "link"))
    return Capacity(
        command=source.command,
        source=source.name,
        backend=str(meta.get("backend") or ""),
        replayed=str(meta.get("replayed") or ""),
        link=link if isinstance(link, Mapping) else {},
        objective=_objective(objectives) if isinstance(objectives, Mapping) else "",
        curves=curves,
        bounds=_bounds(meta.get("theory")),
    )


def _objective(values: Mapping[str, Any]) -> str:
    names = {"ttft_ms": "TTFT", "tpot_ms": "time a token"}
    return " and ".join(f"{name} at most {values[key]:g} ms" for key, name in names.items() if _figure(values.get(key)))


def _bounds(theory: Any) -> tuple[Bound, ...]:
    found = []
    for label, values in theory.items() if isinstance(theory, Mapping) else ():
        if isinstance(values, Mapping) and _figure(values.get("clients")):
            known = {key: float(value) for key, value in values.items() if _figure(value)}
            names = {"gamma": "gamma", "drafter_ms": "t_d ms", "verify_ms": "t_v ms", "round_trip_ms": "RTT ms"}
            words = ", ".join(f"{name} {known[key]:.3g}" for key, name in names.items() if key in known)
            found.append(Bound(str(label), known["clients"], known.get("with_round_trip"), words))
    return tuple(found)


def _curves(fleets: Sequence[Mapping[str, Any]]) -> tuple[CapacityCurve, ...]:
    levels: dict[str, dict[int, Level]] = {}
    for fleet in fleets:
        clients = fleet.get("clients")
        if isinstance(clients, int) and clients > 0 and isinstance(fleet.get("paradigm"), str):
            label = f"{fleet['paradigm']}/{fleet['mode']}" if fleet.get("mode") else str(fleet["paradigm"])
            figures = {name: float(fleet[name]) for name in (*FIGURES, _SHARE) if _figure(fleet.get(name))}
            levels.setdefault(label, {})[clients] = Level(clients, figures)
    return tuple(CapacityCurve(label, tuple(by[n] for n in sorted(by))) for label, by in levels.items())


def _figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def best(curve: CapacityCurve, figure: str) -> tuple[int, float] | None:
    """The number of clients with the largest value of a figure; the smaller number where two are equal."""
    points = curve.of(figure)
    return max(points, key=lambda point: (point[1], -point[0])) if points else None


def knee(curve: CapacityCurve, share: float = IN_TIME) -> int | None:
    """The largest measured number of clients at which the goodput share (`goodput_share`) isn't below `share`."""
    return max((clients for clients, value in curve.of(_SHARE) if value >= share), default=None)
