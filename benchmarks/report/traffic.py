"""Bytes of an answer by kind and way."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.report.settings import Setting
from benchmarks.results import UPLINK_KINDS

KINDS = {"video": "video, up", "drafts": "drafts, up", "control": "control, up", "features": "features, up"}
DOWN = "all, down"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Median bytes of an answer of one label; `kinds` maps kind and way to bytes (0 where it sent none)."""

    label: str
    kinds: dict[str, float]


def traffic_of(setting: Setting) -> list[Traffic]:
    """Of every label that sent anything; in the labels' order."""
    names = [*UPLINK_KINDS, *sorted({kind for run in setting.runs for kind in run.uplink_bytes} - set(UPLINK_KINDS))]
    found = []
    for label in setting.labels:
        runs = setting.of(label)
        kinds = {
            KINDS.get(name, f"{name}, up"): median(run.uplink_bytes.get(name, 0) for run in runs) for name in names
        }
        kinds[DOWN] = median(run.downlink_bytes for run in runs)
        if any(kinds.values()):
            found.append(Traffic(label, kinds))
    return found
