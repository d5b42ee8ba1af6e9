"""Draws what a cloud carries: one panel a figure, one line a paradigm, over the number of clients."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from benchmarks.report.capacity import FIGURES, Capacity
from benchmarks.report.pictures.style import SOFT, label_colours, new_figure, quiet
from benchmarks.report.wording import shown

_MARKERS = "osD^vP"


def draw_capacity(capacity: Capacity) -> Figure:
    """The figures that were made, in two columns; clients on a logarithmic axis where they span a decade."""
    figures = [name for name in FIGURES if any(curve.of(name) for curve in capacity.curves)]
    rows = -(-len(figures) // 2)
    figure = new_figure(0.5 + 2.15 * rows)
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    colours = label_colours([curve.label for curve in capacity.curves])
    for axes, name in zip(panels, figures, strict=False):
        for number, curve in enumerate(capacity.curves):
            points = curve.of(name)
            if points:
                clients, values = zip(*points, strict=True)
                marker = _MARKERS[number % len(_MARKERS)]
                axes.plot(clients, values, marker=marker, markersize=4, color=colours[curve.label])
        if name == "tokens_per_s":
            for bound in capacity.bounds:
                axes.axvline(
                    bound.with_round_trip or bound.clients, color=colours.get(bound.label, SOFT), linestyle=":"
                )
        _finish(axes, name, sorted({level.clients for curve in capacity.curves for level in curve.levels}))
    for axes in panels[len(figures) :]:
        axes.set_visible(False)
    handles = [
        panels[0].plot([], [], color=colours[curve.label], marker=_MARKERS[n % len(_MARKERS)], markersize=4)[0]
        for n, curve in enumerate(capacity.curves)
    ]
    names = [shown(curve.label) for curve in capacity.curves]
    figure.legend(handles, names, loc="outside upper left", ncols=3)
    return figure


def _finish(axes: Axes, name: str, clients: list[int]) -> None:
    axes.set_title(FIGURES[name], fontweight="normal")
    axes.set_xlabel("clients")
    if clients[-1] >= 10 * clients[0]:
        axes.set_xscale("log")
    if name.startswith("ttft"):
        low, high = axes.dataLim.intervaly
        if low > 0 and high > 20 * low:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(ScalarFormatter())
    if axes.get_yscale() == "linear":
        axes.set_ylim(0, None)
    axes.set_xticks(clients, [str(count) for count in clients])
    axes.xaxis.set_minor_locator(NullLocator())
    quiet(axes, grid="y")
