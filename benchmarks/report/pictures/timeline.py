"""Draws timelines one above the other on one clock."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from benchmarks.report.pictures.style import FAINT, INK, SOFT, WIDTH, ink_on, new_figure, quiet, stage_colours
from benchmarks.report.timeline import Lane, Timeline
from benchmarks.report.wording import milliseconds, plural, shown

_LANE_TINTS = {"edge": "#fdf6e9", "link": "#eef8f4", "cloud": "#eef4fa"}
_HIDDEN = "#f7d9a8"
_ROW = 0.26  # inches
_COLUMNS = 6
_ROOM = 1.19  # of the clock's length: room for the last mark's words


def draw_timelines(timelines: Sequence[Timeline]) -> Figure:
    """One panel a timeline, in that order, all on one clock in ms."""
    rows = [sum(lane.rows for lane in timeline.lanes) for timeline in timelines]
    names = _names(timelines)
    colours = stage_colours(names)
    height = sum(rows) * _ROW + 0.72 * len(timelines) + 0.75 + 0.19 * (len(names) // _COLUMNS)
    figure = new_figure(height)
    axes = figure.subplots(len(timelines), 1, sharex=True, squeeze=False, height_ratios=[n + 1.6 for n in rows])[:, 0]
    end = max(_end(timeline) for timeline in timelines)
    for panel, timeline in zip(axes, timelines, strict=True):
        _panel(panel, timeline, colours, end)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(h_pad=0.09)
    axes[-1].set_xlabel("milliseconds since the question")
    handles = [Patch(facecolor=colours[name], label=name.replace("_", " ")) for name in names]
    handles.append(
        Patch(facecolor=_HIDDEN, hatch="////", edgecolor="white", label="edge works while link or cloud does")
    )
    figure.legend(handles=handles, loc="outside upper left", ncols=_COLUMNS, handlelength=1.2, columnspacing=1.4)
    return figure


def _names(timelines: Sequence[Timeline]) -> list[str]:
    """Of all stages, lane by lane."""
    lanes: dict[str, dict[str, None]] = {}
    for timeline in timelines:
        for lane in timeline.lanes:
            lanes.setdefault(lane.name, {}).update({span.name: None for span in lane.spans})
    return list(dict.fromkeys(name for names in lanes.values() for name in names))


def _end(timeline: Timeline) -> float:
    return max([timeline.end_ms, *(span.end for lane in timeline.lanes for span in lane.spans)])


def _panel(axes: Axes, timeline: Timeline, colours: dict[str, str], end: float) -> None:
    total = sum(lane.rows for lane in timeline.lanes)
    axes.set(xlim=(0, end * _ROOM), ylim=(total, -0.95))
    top = 0
    ticks = []
    for lane in timeline.lanes:
        _lane(axes, lane, top, colours, end)
        ticks.append(top + lane.rows / 2)
        top += lane.rows
    for start, stop in timeline.hidden:
        band = {"ymin": 0, "ymax": total / (total + 0.95), "zorder": 0.5}
        axes.axvspan(start, stop, facecolor=_HIDDEN, hatch="////", edgecolor="white", linewidth=0, alpha=0.75, **band)
    axes.set_yticks(ticks, [lane.name for lane in timeline.lanes], fontweight="bold")
    _mark(axes, timeline.first_token_ms, "first token", "--", end)
    _mark(axes, timeline.end_ms, "answer complete", "-", end)
    axes.set_title(shown(timeline.label))
    axes.set_title(_words(timeline), loc="right", fontsize=8.5, fontweight="normal", color=SOFT)
    axes.spines[["left", "bottom"]].set_visible(False)
    quiet(axes)


def _words(timeline: Timeline) -> str:
    text = plural(timeline.tokens, "token")
    if not timeline.edge_work_ms:
        return text
    hidden, work = milliseconds(timeline.hidden_ms), milliseconds(timeline.edge_work_ms)
    return f"{text}; of the edge's {work} of work, {hidden} hidden behind link and cloud"


def _lane(axes: Axes, lane: Lane, top: int, colours: dict[str, str], end: float) -> None:
    axes.axhspan(top, top + lane.rows, color=_LANE_TINTS.get(lane.name, "#f5f5f5"), zorder=0)
    axes.axhline(top + lane.rows, color="white", linewidth=2, zorder=1)
    if not lane.spans:
        axes.text(end * 0.005, top + lane.rows / 2, "nothing recorded", va="center", color=SOFT, fontsize=8)
    for span in lane.spans:
        colour = colours[span.name]
        width = max(span.end - span.start, end * 0.0015)
        y = top + span.row + 0.14
        axes.broken_barh([(span.start, width)], (y, 0.72), facecolor=colour, edgecolor="white", linewidth=0.4, zorder=2)
        _name(axes, span.name.replace("_", " "), span.start, width, y + 0.36, colour, end)


def _name(axes: Axes, text: str, start: float, width: float, y: float, colour: str, end: float) -> None:
    """The stage's name inside its bar, where it fits."""
    inches = width / end / _ROOM * (WIDTH - 0.7)
    if inches > 0.072 * len(text) + 0.08:
        middle = start + width / 2
        axes.text(middle, y, text, ha="center", va="center", fontsize=7.5, color=ink_on(colour), zorder=4)


def _mark(axes: Axes, at: float | None, text: str, style: str, end: float) -> None:
    if at is None:
        return
    axes.axvline(at, ymin=0, ymax=0.97, color=INK, linestyle=style, linewidth=1.1, zorder=5)
    left = text == "first token" and at > end * 0.14
    axes.annotate(
        f"{text} {milliseconds(at)}",
        (at, -0.48),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": FAINT, "boxstyle": "round,pad=0.15", "alpha": 0.9},
        zorder=6,
    )
