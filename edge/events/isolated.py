"""Reads recordings in processes of their own, which a hostile file may crash, stall or fill, but not ours.

Nothing of a recording is parsed here: children (`common.child_pool`, `edge.events.isolated_child`) open the file,
read it within limits of memory and time, and hand plain columns back. They wait for the next file: starting one takes a
third of a second, asking a waiting one milliseconds.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from common.child_pool import ChildPool
from common.errors import EventFormatError
from common.limited_child import Limits
from common.named_files import EVERYTHING, Allowed
from edge.events.reading import MAX_EVENTS, Request
from edge.events.types import Events
from edge.events.wire import HEADER, columns_of

if TYPE_CHECKING:
    from pathlib import Path

    from edge.events.simulate import SimulatorSettings

_BYTES_AN_EVENT = 13
_ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::"}  # HDF5 loads no filters from files that a recording could name
TOOL_LIMITS = Limits(memory_bytes=4 << 30, cpu_s=120, wall_s=180.0)
DAEMON_LIMITS = Limits(memory_bytes=3 << 30, cpu_s=30, wall_s=30.0)
DAEMON_EVENTS = 20_000_000  # in a window, for a daemon that does other things besides


class EventReader:
    """Reads recordings in children, at most `places` at a time. Blocks: belongs in threads.

    `allowed` says which files may be named, `max_events` how many events a window may have.
    """

    def __init__(
        self,
        allowed: Allowed = EVERYTHING,
        limits: Limits = TOOL_LIMITS,
        *,
        max_events: int = MAX_EVENTS,
        places: int = 4,
    ) -> None:
        self._allowed = allowed
        self._max_events = max_events
        self.pool = ChildPool(
            "edge.events.isolated_child:make",
            replace(limits, reply_bytes=HEADER.size + max_events * _BYTES_AN_EVENT),
            error=EventFormatError,
            places=places,
            environment=_ENVIRONMENT,
        )

    def load(self, path: str | Path, request: Request) -> Events:
        """A window of a recording, as the format's own reader reads it.

        Raises:
            EventFormatError: what that reader raised, or that it didn't survive the file. The message names the file.
            CapacityError: too many files are being read already.
        """
        sensor = None if request.sensor is None else [int(side) for side in request.sensor]
        return self._events(path, {"do": "load", **_window(request), "sensor": sensor})

    def simulate(self, path: str | Path, request: Request, settings: SimulatorSettings, seed: int) -> Events:
        """The events that a simulated sensor reports of a clip; errors as `load`."""
        return self._events(path, {"do": "simulate", **_window(request), "settings": asdict(settings), "seed": seed})

    def inspect(self, path: str | Path) -> dict[str, Any]:
        """Figures of a recording, by the names of `edge.events.EventInfo`; errors as `load`."""
        figures = json.loads(bytes(self._ask(path, {"do": "inspect"})))
        return dict(figures)

    def warm_up(self) -> None:
        """Start a child ahead of the first file; returns at once."""
        self.pool.warm_up()

    def close(self) -> None:
        """End the children that wait."""
        self.pool.close()

    def _events(self, path: str | Path, question: dict[str, Any]) -> Events:
        reply = self._ask(path, question)
        try:
            return columns_of(reply)
        except EventFormatError as error:
            raise EventFormatError(f"{path}: {error}") from error

    def _ask(self, path: str | Path, question: dict[str, Any]) -> memoryview:
        name = os.path.abspath(path)  # noqa: PTH100  a child has no working directory
        common = {"path": name, "roots": self._allowed.roots, "max_events": self._max_events}
        try:
            with self.pool.borrow() as child:
                return child.ask(json.dumps(common | question).encode())
        except EventFormatError as error:
            text = str(error)
            raise EventFormatError(text if name in text else f"{path}: {text}") from error


def _window(request: Request) -> dict[str, Any]:
    return {"start_us": request.start_us, "duration_us": request.duration_us}


READER = EventReader()  # of the tools, which read whatever their user may


def warm_up() -> None:
    """Start a child ahead of the first file; returns at once."""
    READER.warm_up()
