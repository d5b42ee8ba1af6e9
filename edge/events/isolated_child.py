"""The child of `edge.events.isolated`: opens the files that are asked for, and reads them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import EventFormatError
from common.named_files import Allowed, path_of
from edge.events.formats import read_here
from edge.events.inspection import inspect_here
from edge.events.locating import open_recording_file
from edge.events.reading import Request, check_count
from edge.events.wire import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.events.types import Events


def make() -> Callable[[bytes], Sequence[bytes | memoryview]]:
    """What answers questions, libraries imported ahead of the first."""
    with contextlib.suppress(ImportError):  # if one is missing, the reader will say so
        import h5py  # noqa: F401
        import hdf5plugin  # noqa: F401
    return _answer


def _answer(request: bytes) -> Sequence[bytes | memoryview]:
    question = json.loads(request)
    roots = question["roots"]
    allowed = Allowed(None if roots is None else tuple(roots))
    path = Path(question["path"])
    try:
        if question["do"] == "inspect":
            with open_recording_file(path, allowed) as file:
                return [json.dumps(asdict(inspect_here(path_of(file)))).encode()]
        events = _simulated(path, allowed, question) if question["do"] == "simulate" else _read(path, allowed, question)
    except OSError as error:
        raise EventFormatError(f"can't be read ({error.strerror})") from error
    check_count(len(events), question["max_events"])
    return packed(events)


def _read(path: Path, allowed: Allowed, question: dict[str, Any]) -> Events:
    sensor = tuple(question["sensor"]) if question["sensor"] else None
    request = Request(question["start_us"], question["duration_us"], sensor, question["max_events"])
    with open_recording_file(path, allowed) as file:
        return read_here(path_of(file), request)


def _simulated(path: Path, allowed: Allowed, question: dict[str, Any]) -> Events:
    from edge.events.from_video import simulate_here
    from edge.events.simulate import SimulatorSettings

    request = Request(question["start_us"], question["duration_us"])
    return simulate_here(path, request, SimulatorSettings(**question["settings"]), question["seed"], allowed)
