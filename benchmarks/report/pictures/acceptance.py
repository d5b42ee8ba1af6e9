"""Draws acceptance by place in the draft and by class of word."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmarks.report.acceptance import Curve
from benchmarks.report.pictures.style import INK, label_colours, new_figure, quiet
from benchmarks.report.word_classes import WordClasses
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
        style = "--" if curve.replayed else "-"
        axes.errorbar(places, rates, bars, color=colour, fmt=style + marker, markersize=4, elinewidth=0.9, label=name)
        left = [int(s.name) + (number - (len(curves) - 1) / 2) * width for s in curve.shares]
        counts.bar(left, [s.drafted for s in curve.shares], width=width, color=colour)
    axes.set(ylim=(0, 1.05), ylabel="accepted")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    counts.set(ylabel="tokens\nchecked", xlabel="place in the draft")
    counts.set_xlim(0.4, max(int(share.name) for curve in curves for share in curve.shares) + 0.6)
    counts.xaxis.get_major_locator().set_params(integer=True)
    quiet(axes, grid="y")
    quiet(counts, grid="y")
    return figure


def draw_by_class(classes: WordClasses) -> Figure:
    """Accepted share by class of word, the most accepted on top: of the runs as bars, of the training as diamonds."""
    training = dict(classes.training.rates) if classes.training else {}
    own = {share.name: share for share in classes.shares}
    names = [share.name for share in classes.shares] or sorted(training, key=lambda name: -training[name])
    figure = new_figure((1.15 if own else 0.8) + 0.29 * len(names))
    axes = figure.subplots()
    colour = "#8ec3e6"
    rates = [own[name].rate if own else training[name] for name in names]
    axes.barh(range(len(names)), rates, color=colour, height=0.66)
    for place, name in enumerate(names):
        text, reach = f"{rates[place]:.0%}", rates[place]
        if own:
            low, high = own[name].interval
            axes.plot([low, high], [place, place], color=INK, linewidth=1)
            text, reach = f"{text}  of {own[name].drafted:,}", high
            if name in training:
                axes.plot(training[name], place, "D", color="white", markeredgecolor=INK, markersize=4.5, zorder=4)
                reach = max(reach, training[name])
        axes.annotate(text, (reach, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [name.replace("_", "/") for name in names])
    axes.set(xlim=(0, 1.15), xlabel="drafts that were the large model's choice", ylim=(len(names) - 0.4, -0.6))
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    if own and training:
        axes.plot([], [], "D", color="white", markeredgecolor=INK, markersize=4.5, label="at training's evaluation")
        axes.barh([0], [0], color=colour, label="these runs")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    quiet(axes, grid="x")
    return figure
