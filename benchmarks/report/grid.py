"""Speed-up over round-trip time and bandwidth: what a heat map shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.report.comparison import BASELINE, Contrast, contrast
from benchmarks.report.settings import Setting
from benchmarks.results import Run

METRICS = {"total_ms": "total time", "ttft_ms": "time to first token"}
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Grid:
    """Speed-up of one label against `cloud_only` at points (RTT in ms, uplink in Mbit/s).

    Attributes:
        fixed: what the links have in common beside, e.g. `loss_pct=1`; empty if nothing but zeros.
    """

    label: str
    metric: str
    backend: str
    replayed: str
    command: str
    fixed: str
    cells: dict[Point, Contrast]

    @property
    def rtts(self) -> list[float]:
        """The round-trip times in ms, rising."""
        return sorted({rtt for rtt, _ in self.cells})

    @property
    def uplinks(self) -> list[float]:
        """The bandwidths in Mbit/s, rising."""
        return sorted({up for _, up in self.cells})

    @property
    def breaks_even(self) -> bool:
        """True if the measured points lie on both sides of 1."""
        ratios = [cell.ratio for cell in self.cells.values()]
        return min(ratios) < 1 < max(ratios)


def grids_of(settings: Iterable[Setting]) -> list[Grid]:
    """A grid for each metric and lossless label that crosses the link, of every family with at least two points."""
    families: dict[tuple[Any, ...], dict[Point, list[Run]]] = {}
    for setting in settings:
        point = _point(setting)
        if point is not None:
            family = families.setdefault((setting.family, _fixed(setting)), {})
            family.setdefault(point, []).extend(setting.runs)
    found = []
    for (family_key, fixed), points in families.items():
        if len(points) > 1:
            command, backend, replayed, _ = family_key
            found += _grids(points, command, backend, replayed, fixed)
    return found


def _grids(points: dict[Point, list[Run]], command: str, backend: str, replayed: str, fixed: str) -> list[Grid]:
    labels = dict.fromkeys(run.label for runs in points.values() for run in runs if run.link and run.lossless)
    labels.pop(BASELINE, None)
    found = []
    for label in labels:
        for metric in METRICS:
            cells = {}
            for point, runs in points.items():
                own = [run for run in runs if run.label == label]
                cell = contrast(own, [run for run in runs if run.label == BASELINE], metric)
                if cell is not None:
                    cells[point] = cell
            if len(cells) > 1:
                found.append(Grid(label, metric, backend, replayed, command, fixed, cells))
    return found


def _point(setting: Setting) -> Point | None:
    rtt, up = setting.link.get("rtt_ms"), setting.link.get("uplink_mbps")
    if isinstance(rtt, int | float) and isinstance(up, int | float):
        return (float(rtt), float(up))
    return None


def _fixed(setting: Setting) -> str:
    beside = {
        key: value
        for key, value in setting.link.items()
        if key in ("jitter_ms", "loss_pct", "trace", "outages", "queue_ms", "queue_bytes") and value
    }
    return ", ".join(f"{key}={value}" for key, value in sorted(beside.items()))
