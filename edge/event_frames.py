"""From an event recording to the drafter's frames, in the threads that read files."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from edge.stages import Stages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.eventgpt import EventGPTConfig
    from edge.events.isolated import EventReader


async def read_event_frames(
    path: str, start_us: int, config: EventGPTConfig, stages: Stages, files: Executor, reader: EventReader
) -> list[NDArray[Any]]:
    """The window's frames as the drafter's configuration wants them, uint8 [H, W, 3] each.

    Raises:
        EventFormatError: the recording can't be read.
        CapacityError: too many are being read already.
    """
    planned_ms = stages.replay.drafter.rasterise_ms if stages.replay is not None else 0.0

    def work() -> list[NDArray[Any]]:
        from edge.events import load_events, raster

        with stages.span("load"):
            events = load_events(path, start_us=start_us, duration_us=config.window_us, reader=reader)
        canvas = (events.height, events.width) if config.canvas == "sensor" else None
        with stages.span("rasterise", planned_ms):
            return list(raster(events, frames=config.frames, canvas=canvas))

    return await asyncio.get_running_loop().run_in_executor(files, work)
