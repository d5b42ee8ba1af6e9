"""How all pictures look: one type size, a palette that colour-blind eyes tell apart, no ink without meaning."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK = "#1f2328"
SOFT = "#6b7280"
FAINT = "#e5e7eb"
_FOOT = 0.26  # inches
WIDTH = 9.2  # inches: the page's text width

_PARADIGMS = {  # Okabe and Ito's palette
    "cloud_only": ("#4d4d4d",),
    "stream_to_cloud": ("#0072b2", "#56b4e9", "#003f66", "#8ecae6"),
    "edge_only": ("#e69f00",),
    "edge_vision": ("#009e73",),
    "colocated": ("#cc79a7",),
    "in_process": ("#d55e00", "#f0a06a"),
}
_STAGES = {  # warm: the edge; green: the link; cold: the cloud
    "load": "#d9d0c1",
    "preprocess": "#d9c7a0",
    "rasterise": "#f3dc8b",
    "drafter_preprocess": "#cdb380",
    "drafter_vision": "#f5c842",
    "drafter_prefill": "#e69f00",
    "draft": "#b8480a",
    "video_upload": "#009e73",
    "features_upload": "#007a5a",
    "video_decode": "#c6dbef",
    "frames": "#a9cbe6",
    "vision_encode": "#56b4e9",
    "prefill": "#0072b2",
    "vision_and_prefill": "#3a8fc4",
    "verify": "#5b3a8c",
    "decode": "#2c2463",
}
_UNKNOWN = ("#9aa0a6", "#7d848c", "#b7bcc2", "#63686e")

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "eventspec",
    "figure.constrained_layout.use": True,
    "hatch.linewidth": 0.6,
}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of that size in inches."""
    return Figure(figsize=(width, height), facecolor="white")


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label: its paradigm's, in shades where there are several modes."""
    found: dict[str, str] = {}
    taken: dict[str, int] = {}
    for label in dict.fromkeys(labels):
        paradigm = label.partition("/")[0]
        shades = _PARADIGMS.get(paradigm, _UNKNOWN)
        place = taken.get(paradigm, 0)
        found[label] = shades[place % len(shades)]
        taken[paradigm] = place + 1
    return found


def stage_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each stage; greys for stages that this version doesn't know."""
    unknown = [name for name in names if name not in _STAGES]
    greys = {name: _UNKNOWN[i % len(_UNKNOWN)] for i, name in enumerate(dict.fromkeys(unknown))}
    return {name: _STAGES.get(name) or greys[name] for name in names}


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on the colour."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def quiet(axes: Axes, *, grid: str = "") -> None:
    """Take the tick marks away and lay a faint grid along `grid` (`x`, `y` or nothing)."""
    axes.tick_params(length=0)
    if grid in ("x", "y"):
        axes.grid(axis="x" if grid == "x" else "y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def add_foot(figure: Figure, text: str, mark: str) -> None:
    """Say at the bottom what was run, and mark what was replayed; the picture grows by that line."""
    if not text and not mark:
        return
    height = figure.get_figheight() + _FOOT
    figure.set_figheight(height)
    layout = figure.get_layout_engine()
    if isinstance(layout, ConstrainedLayoutEngine):
        layout.set(rect=(0, _FOOT / height, 1, 1 - _FOOT / height))
    figure.text(0.006, 0.06 / height, text, fontsize=7.5, color=SOFT, va="bottom")
    if mark:
        plate = {"facecolor": "#fff1cf", "edgecolor": "none", "boxstyle": "round,pad=0.25"}
        place = (0.99, 0.07 / height)
        figure.text(*place, mark, fontsize=7.5, color="#7a4d00", fontweight="bold", ha="right", va="bottom", bbox=plate)


def as_svg(figure: Figure) -> bytes:
    """The figure as SVG, text as outlines, the same bytes every time."""
    buffer = io.BytesIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def as_png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
