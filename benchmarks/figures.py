"""The runtime's own figures, each with its bar: measured within one run, on whatever machine this is."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from common.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. It is reached if `value` is at most (or, if `at_least`, at least) `bar`."""

    name: str
    what: str
    value: float
    unit: str
    bar: float
    at_least: bool
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the bar is met."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "reached": self.reached, "machine": machine_facts()}


def machine_facts() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


def measure_all(only: Sequence[str] | None, repetitions: int, model: Path | None) -> list[Figure]:
    """All figures, or those named. All: without `blocking` where its link can't be had.

    Raises:
        SettingsError: there is no figure of that name.
    """
    from benchmarks.delay_figure import measure_delay
    from benchmarks.engine_figures import measure_overhead, measure_sessions
    from benchmarks.generate_figure import measure_generate
    from benchmarks.link.opening import tun_missing
    from benchmarks.round_figures import measure_blocking, measure_round
    from benchmarks.small_figures import measure_raster, measure_wire

    measures: dict[str, Callable[[], Figure]] = {
        "generate": lambda: measure_generate(repetitions, model),
        "sessions": lambda: measure_sessions(repetitions, model),
        "wire": measure_wire,
        "overhead": lambda: measure_overhead(repetitions, model),
        "raster": lambda: measure_raster(repetitions),
        "round": lambda: measure_round(repetitions, model),
        "delay": lambda: measure_delay(repetitions, model),
        "blocking": lambda: measure_blocking(repetitions, model),
    }
    names = list(only or (name for name in measures if name != "blocking" or tun_missing() is None))
    unknown = [name for name in names if name not in measures]
    if unknown:
        raise SettingsError(f"there is no figure {unknown[0]!r}; known are {', '.join(measures)}")
    return [measures[name]() for name in names]


def print_figures(results: Sequence[Figure]) -> None:
    """A table of figures and bars."""
    console = Console(highlight=False)
    table = Table(pad_edge=False)
    for name, justify in (("figure", "left"), ("value", "right"), ("bar", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for figure in results:
        sign = "≥" if figure.at_least else "≤"
        verdict = "[green]reached[/]" if figure.reached else "[red]not reached[/]"
        value, bar = f"{figure.value:.3g} {figure.unit}", f"{sign} {figure.bar:g} {figure.unit}"
        table.add_row(f"{figure.name}: {figure.what}", value, bar, verdict)
    console.print(table)
    for figure in results:
        console.print(f"{figure.name}: {figure.details}", style="dim")
