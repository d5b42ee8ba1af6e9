"""Draws acceptance by place in the draft and by class of word."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmarks.report.acceptance import ClassRates, Curve
from benchmarks.report.pictures.style import SOFT, label_colours, new_figure, quiet
from benchmarks.report.wording import shown

_MARKERS = "osD^vP"


def draw_by_place(curves: Sequence[Curve]) -> Figure:
    """Accepted share at each place of the checked draft, with its 95 % interval; below, how many were checked."""
    figure = new_figure(3.5)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    colours = label_colours([curve.label for curve in curves])
    width = 0.8 / len(curves)
    for number, curve in enumerate(curves):
        shift = (number - (len(curves) - 1) / 2) * 0.08
        places = [int(s.name) + shift for s in curve.shares]
        rates = [s.rate for s in curve.shares]
        bars = [[s.rate - s.interval[0] for s in curve.shares], [s.interval[1] - s.rate for s in curve.shares]]
        colour, marker = colours[curve.label], _MARKERS[number % len(_MARKERS)]
        name = shown(curve.label) + (f" (replayed {curve.replayed})" if curve.replayed else "")
        axes.errorbar(places, rates, bars, color=colour, marker=marker, markersize=4, elinewidth=0.9, label=name)
        left = [int(s.name) + (number - (len(curves) - 1) / 2) * width for s in curve.shares]
        counts.bar(left, [s.drafted for s in curve.shares], width=width, color=colour)
    axes.set(ylim=(0, 1.05), ylabel="accepted")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    counts.set(ylabel="tokens\nchecked", xlabel="place in the draft")
    counts.xaxis.get_major_locator().set_params(integer=True)
    quiet(axes, grid="y")
    quiet(counts, grid="y")
    return figure


def draw_by_class(rates: ClassRates) -> Figure:
    """Accepted share by class of word, the surest last."""
    ordered = sorted(rates.rates.items(), key=lambda item: item[1])
    figure = new_figure(0.9 + 0.27 * len(ordered))
    axes = figure.subplots()
    colour = label_colours(["stream_to_cloud"])["stream_to_cloud"]
    bars = axes.barh([name.replace("_", "/") for name, _ in ordered], [rate for _, rate in ordered], color=colour)
    axes.bar_label(bars, [f"{rate:.0%}" for _, rate in ordered], padding=3, fontsize=8.5)
    axes.axvline(rates.overall, color=SOFT, linestyle="--", linewidth=1)
    axes.annotate(
        f"all tokens {rates.overall:.0%}", (rates.overall, 1.0), xycoords=("data", "axes fraction"), xytext=(-4, 3),
        textcoords="offset points", ha="right", color=SOFT, fontsize=8,
    )  # fmt: skip
    axes.set(xlim=(0, 1.08), xlabel="one-token drafts that were the large model's choice")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    quiet(axes, grid="x")
    return figure
