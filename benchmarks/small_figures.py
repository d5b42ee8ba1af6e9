"""Figures that need no model: the size of a draft on the wire, the speed of the raster."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from benchmarks.figures import Figure
from common import codec
from common.types import Draft
from edge.events import Events, raster


def measure_wire() -> Figure:
    """The largest message of five draft ids in a table of 32,000, late in a long session."""
    draft = Draft(draft_id=5_000, epoch=3, base_position=480, prefix_hash=0xFFFFFFFF, token_ids=(31_999,) * 5)
    size = len(codec.encode_edge_message(draft))
    return Figure("wire", "draft message of 5 tokens", size, "bytes", 64, at_least=False)


def measure_raster(repetitions: int) -> Figure:
    """Events drawn a second on one core, at the size of a DSEC window."""
    rng = np.random.default_rng(0)
    count = 300_000
    events = Events(
        x=rng.integers(0, 640, count).astype(np.uint16),
        y=rng.integers(0, 480, count).astype(np.uint16),
        t=np.sort(rng.integers(0, 50_000, count)),
        p=rng.integers(0, 2, count).astype(np.uint8),
        width=640,
        height=480,
    )
    raster(events)
    times = []
    for _ in range(10 * max(3, repetitions)):
        started = time.perf_counter()
        raster(events)
        times.append(time.perf_counter() - started)
    best, middle = count / min(times) / 1e6, count / median(times) / 1e6
    details = {"best": round(best, 1), "events": count, "repetitions": len(times)}
    return Figure("raster", "events drawn a second, one core", middle, "M/s", 100, at_least=True, details=details)
