"""Events that a simulated sensor would have reported while a clip was filmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import EventFormatError
from edge.events.isolated import READER
from edge.events.reading import Request, check_count
from edge.events.simulate import EventSimulator, SimulatorSettings
from edge.events.types import Events, concatenate

if TYPE_CHECKING:
    from pathlib import Path

    from common.named_files import Allowed


def events_from_video(
    path: str | Path,
    *,
    start_us: int | None = None,
    duration_us: int | None = None,
    settings: SimulatorSettings | None = None,
    seed: int = 0,
) -> Events:
    """Simulate the events of a clip, picture by picture, in a child process; see `edge.events.simulate`.

    Args:
        path: any clip that `edge.video.read_frames` reads.
        start_us: begin of the window, in microseconds from the clip's first picture.
        duration_us: length of the window; None for all the rest.
        settings: the sensor; `SimulatorSettings()` if not given.
        seed: of threshold mismatch and noise.

    Returns:
        Events on a sensor of the clip's size. `t` counts from the clip's first picture.

    Raises:
        EventFormatError: the clip can't be read, or it fires no events in the window, or too many.
        CapacityError: too many files are being read already.
    """
    return READER.simulate(path, Request(start_us or 0, duration_us), settings or SimulatorSettings(), seed)


def simulate_here(path: Path, request: Request, settings: SimulatorSettings, seed: int, allowed: Allowed) -> Events:
    """`events_from_video` in this process: what the reader's children do. Raises VideoFormatError, too."""
    from edge.video import read_frames

    begin, end = request.bounds(0)
    simulator: EventSimulator | None = None
    chunks: list[Events] = []
    last, count = -1, 0
    for t_us, picture in read_frames(path, allowed=allowed):
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
        raise EventFormatError("nothing changes here, so it fires no events; choose a part with motion")
    return concatenate(chunks)
