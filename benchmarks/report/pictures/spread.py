"""Draws every repetition of every paradigm: dots for answers, a bar for the quartiles, a line for the median."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.paradigms.statistics import Spread
from benchmarks.report.comparison import Comparison, Row
from benchmarks.report.pictures.style import INK, label_colours, new_figure, quiet
from benchmarks.report.wording import milliseconds, shown

_PANELS = (("ttft_ms", "time to first token"), ("total_ms", "total time"))


def draw_spread(comparison: Comparison) -> Figure:
    """Time to first token and total time of one setting, a row for each paradigm, in ms."""
    rows = comparison.rows
    figure = new_figure(1.0 + 0.42 * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    colours = label_colours([row.label for row in rows])
    for axes, (metric, title) in zip(panels, _PANELS, strict=True):
        for place, row in enumerate(rows):
            values = [v for run in comparison.setting.of(row.label) if (v := getattr(run, metric)) is not None]
            _strip(axes, place, values, row.ttft if metric == "ttft_ms" else row.total, colours[row.label])
        axes.set(title=title, xlabel="ms", xlim=(0, None))
        axes.margins(x=0.12)
        quiet(axes, grid="x")
    panels[0].set_yticks(range(len(rows)), [_name(row) for row in rows])
    panels[0].set_ylim(len(rows) - 0.45, -0.6)
    return figure


def _name(row: Row) -> str:
    return shown(row.label) if row.lossless else f"{shown(row.label)} (unverified)"


def _strip(axes: Axes, place: int, values: Sequence[float], spread: Spread | None, colour: str) -> None:
    if spread is None:
        return
    offsets = [place + 0.16 * ((i * 7 % 5) - 2) / 2 for i in range(len(values))]
    axes.plot(values, offsets, "o", color=colour, markersize=3, alpha=0.35, markeredgewidth=0, zorder=2)
    axes.plot(
        [spread.low, spread.high],
        [place, place],
        color=colour,
        linewidth=6,
        alpha=0.45,
        zorder=3,
        solid_capstyle="butt",
    )
    axes.plot([spread.median] * 2, [place - 0.24, place + 0.24], color=INK, linewidth=1.8, zorder=4)
    axes.annotate(
        milliseconds(spread.median),
        (spread.median, place - 0.22),
        xytext=(0, 1),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        zorder=5,
    )
