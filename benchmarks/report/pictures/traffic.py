"""Draws the bytes of an answer by kind; every kind has a scale of its own, because drafts are tiny beside video."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.report.pictures.style import label_colours, new_figure, quiet
from benchmarks.report.traffic import Traffic
from benchmarks.report.wording import data, shown


def draw_traffic(traffic: Sequence[Traffic]) -> Figure:
    """A panel for each kind that anyone sent, a bar for each paradigm."""
    kinds = [kind for kind in traffic[0].kinds if any(item.kinds[kind] for item in traffic)]
    figure = new_figure(0.95 + 0.32 * len(traffic))
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    colours = label_colours([item.label for item in traffic])
    for axes, kind in zip(panels, kinds, strict=True):
        values = [item.kinds[kind] for item in traffic]
        bars = axes.barh(range(len(traffic)), values, color=[colours[item.label] for item in traffic], height=0.62)
        axes.bar_label(bars, [data(value) for value in values], padding=3, fontsize=8)
        axes.set(title=kind, xlim=(0, max(values) * 1.45))
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: data(value)))
        quiet(axes, grid="x")
    panels[0].set_yticks(range(len(traffic)), [shown(item.label) for item in traffic])
    panels[0].invert_yaxis()
    return figure
