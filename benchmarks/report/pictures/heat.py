"""Draws speed-up over round-trip time and bandwidth, with the line at which it breaks even."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from benchmarks.report.comparison import Verdict
from benchmarks.report.grid import METRICS, Grid
from benchmarks.report.pictures.style import INK, SOFT, new_figure, quiet
from benchmarks.report.wording import TIMES, number, shown

_FINE = (0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4, 1.6)
_COARSE = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.7, 1, 1.4, 2, 4, 8, 16)
_MAP = "PuOr"  # orange below 1, violet above: told apart by all eyes


def draw_heat(grids: Sequence[Grid]) -> Figure:
    """The grids of one label beside each other (one a metric), on one scale of colours."""
    rows = max(len(grid.uplinks) for grid in grids)
    figure = new_figure(1.35 + 0.5 * max(rows, 3))
    panels = figure.subplots(1, len(grids), squeeze=False)[0]
    reach = _reach(grids)
    norm = TwoSlopeNorm(0.0, -reach, reach)
    for axes, grid in zip(panels, grids, strict=True):
        _panel(axes, grid, norm)
    bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=list(panels), shrink=0.9, pad=0.02, aspect=18)
    top = 2.0**reach
    stops = [stop for stop in (_FINE if top < 1.8 else _COARSE) if 1 / top <= stop <= top]
    bar.set_ticks([float(np.log2(v)) for v in stops], labels=[f"{number(v, 2)}{TIMES}" for v in stops])
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    bar.set_label("times as fast as cloud only")
    figure.suptitle(shown(grids[0].label), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _reach(grids: Sequence[Grid]) -> float:
    """The scale's end, as a power of 2."""
    ratios = [cell.ratio for grid in grids for cell in grid.cells.values()]
    return max(0.4, *(abs(float(np.log2(ratio))) for ratio in ratios))


def _panel(axes: Axes, grid: Grid, norm: TwoSlopeNorm) -> None:
    values = np.full((len(grid.uplinks), len(grid.rtts)), np.nan)
    for (rtt, up), cell in grid.cells.items():
        values[grid.uplinks.index(up), grid.rtts.index(rtt)] = np.log2(cell.ratio)
    colours = axes.imshow(values, cmap=_MAP, norm=norm, origin="lower", aspect="auto", interpolation="nearest")
    for (rtt, up), cell in grid.cells.items():
        x, y = grid.rtts.index(rtt), grid.uplinks.index(up)
        red, green, blue, _ = colours.to_rgba(np.log2(cell.ratio))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        sure = cell.verdict in (Verdict.FASTER, Verdict.SLOWER)
        axes.text(
            x,
            y,
            f"{cell.ratio:.2f}{TIMES}" if sure else f"({cell.ratio:.2f}{TIMES})",
            ha="center",
            va="center",
            fontsize=8.5,
            color="white" if dark else INK,
            path_effects=[] if dark else [withStroke(linewidth=2.5, foreground=(red, green, blue))],
            zorder=5,
        )
    _break_even(axes, values)
    axes.set_xticks(range(len(grid.rtts)), [number(value) for value in grid.rtts])
    axes.set_yticks(range(len(grid.uplinks)), [number(value) for value in grid.uplinks])
    axes.set(xlabel="round-trip time, ms", ylabel="uplink, Mbit/s")
    axes.set_title(METRICS[grid.metric], fontweight="normal")
    axes.spines[:].set_visible(False)
    quiet(axes)


def _break_even(axes: Axes, values: np.ndarray) -> None:
    """The contour at which both take the same time, between the points; points that are missing cut it."""
    if min(values.shape) < 2 or np.isnan(values).all() or not np.nanmin(values) < 0 < np.nanmax(values):
        return
    masked = np.ma.masked_invalid(np.pad(values, 1, mode="edge"))
    rows, columns = ([-0.5, *range(count), count - 0.5] for count in values.shape)
    axes.contour(columns, rows, masked, levels=[0.0], colors="white", linewidths=4)
    axes.contour(columns, rows, masked, levels=[0.0], colors=INK, linewidths=1.8, linestyles="--")
    axes.plot([], [], "--", color=INK, linewidth=1.8, label="break-even")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderpad=0, labelcolor=SOFT)
