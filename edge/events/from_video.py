"""Events that a simulated sensor would have reported while a clip was filmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import EventFormatError
from edge.events.reading import Request, check_count
from edge.events.simulate import EventSimulator, SimulatorSettings
from edge.events.types import Events, concatenate

if TYPE_CHECKING:
    from pathlib import Path


def events_from_video(
    path: str | Path,
    *,
    start_us: int | None = None,
    duration_us: int | None = None,
    settings: SimulatorSettings | None = None,
    seed: int = 0,
) -> Events:
    """Simulate the events of a clip, picture by picture; see `edge.events.simulate`.

    Args:
        path: any clip that `edge.video.read_frames` reads.
        start_us: begin of the window, in microseconds from the clip's first picture.
        duration_us: length of the window; None for all the rest.
        settings: the sensor; `SimulatorSettings()` if not given.
        seed: of threshold mismatch and noise.

    Returns:
        Events on a sensor of the clip's size. `t` counts from the clip's first picture.

    Raises:
        VideoFormatError: the clip can't be read.
        EventFormatError: it fires no events in the window, or too many.
    """
    from edge.video import read_frames

    begin, end = Request(start_us or 0, duration_us).bounds(0)
    simulator: EventSimulator | None = None
    chunks: list[Events] = []
    last, count = -1, 0
    for t_us, picture in read_frames(path):
        if simulator is None:
            height, width = picture.shape[:2]
            simulator = EventSimulator(width, height, settings=settings, seed=seed)
        if t_us <= last:  # some clips show two pictures at one time
            continue
        chunks.append(simulator.push(picture, t_us).window(begin, end - begin))
        last, count = t_us, count + len(chunks[-1])
        check_count(count)
        if t_us >= end:
            break
    if count == 0:
        raise EventFormatError(f"{path}: nothing changes here, so it fires no events; choose a part with motion")
    return concatenate(chunks)
