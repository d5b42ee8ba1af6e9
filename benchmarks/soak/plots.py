"""The soak's pictures: memory, descriptors, threads and sessions of every process over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.growth import Sample

_PANELS = (
    ("memory_mb", "resident memory, MB"),
    ("descriptors", "file descriptors"),
    ("threads", "threads"),
    ("held", "sessions held"),
)


def draw(samples: Sequence[Sample], path: Path) -> None:
    """One picture with a panel a quantity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(10, 6), sharex=True, constrained_layout=True)
    names = sorted({name for sample in samples for name in sample.usages})
    for panel, (what, title) in zip(panels.flat, _PANELS, strict=True):
        for name in names:
            points = [(s.at / 60, getattr(s.usages[name], what)) for s in samples if name in s.usages]
            if what != "held" or name != "engine":
                panel.plot([x for x, _ in points], [y for _, y in points], label=name, linewidth=1.2)
        panel.set_title(title, fontsize=10)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    for panel in panels[1]:
        panel.set_xlabel("minutes")
    panels[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
