"""Recognise event files by their first bytes, load them, and save events in other formats."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import EventFormatError
from edge.events import aedat, dsec, isolated, npy, npz, prophesee
from edge.events.reading import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.events.types import Events


class EventFormat(Enum):
    """Formats that can be read."""

    EVENTGPT = "EventGPT npy"
    DSEC = "DSEC h5"
    N_IMAGENET = "N-ImageNet npz"
    PROPHESEE = "Prophesee raw"
    AEDAT4 = "AEDAT4"


_MAGIC = {
    b"\x93NUMPY": EventFormat.EVENTGPT,
    b"\x89HDF\r\n\x1a\n": EventFormat.DSEC,
    b"PK\x03\x04": EventFormat.N_IMAGENET,
    b"% ": EventFormat.PROPHESEE,
    b"#!AER-DAT4.": EventFormat.AEDAT4,
}
_READERS: dict[EventFormat, Callable[[Path, Request], Events]] = {
    EventFormat.EVENTGPT: npy.read,
    EventFormat.DSEC: dsec.read,
    EventFormat.N_IMAGENET: npz.read,
    EventFormat.PROPHESEE: prophesee.read,
    EventFormat.AEDAT4: aedat.read,
}
SAVED_AS = (".npy", ".h5", ".hdf5", ".npz", ".raw")


def load_events(
    path: str | Path,
    *,
    start_us: int | None = None,
    duration_us: int | None = None,
    sensor: tuple[int, int] | None = None,
    reader: isolated.EventReader | None = None,
) -> Events:
    """Load a recording, or a window of it, whatever its format.

    Formats: EventGPT `.npy`, DSEC `events.h5` and sequence folders, N-ImageNet `.npz`, Prophesee EVT2 and
    (extra `prophesee`) EVT3 `.raw`, AEDAT4 (extra `aedat`). The first bytes decide, not the name.

    Args:
        path: a file, or a DSEC sequence folder.
        start_us: begin of the window in microseconds after the recording's begin, which is `t_offset` for
            DSEC files and the first event for all others. The window is half open: an event `duration_us`
            after its begin is outside.
        duration_us: length of the window in microseconds; None for all the rest.
        sensor: (width, height), for files that don't name their sensor and are not from a 640x480 one.
        reader: who reads it, in a child process; one without restrictions if not given.

    Returns:
        At least one event. `t` is on the file's own clock.

    Raises:
        EventFormatError: the file is missing, of another format, truncated, hostile, too large, makes no
            sense, or has nothing in the window. The message names the file and says what to do.
        CapacityError: too many files are being read already.
    """
    try:
        request = Request(int(start_us or 0), None if duration_us is None else int(duration_us), sensor)
    except EventFormatError as error:
        raise EventFormatError(f"{path}: {error}") from error
    return (reader or isolated.READER).load(path, request)


def read_here(path: Path, request: Request) -> Events:
    """Read a file in this process, which a hostile one may crash or fill: what the reader's children do.

    Raises:
        EventFormatError: as `load_events`, without the file's name.
    """
    return _READERS[detect_format(path)](path, request)


def detect_format(path: Path) -> EventFormat:
    """The format of a file, by its first bytes.

    Raises:
        EventFormatError: it is none of them.
    """
    with path.open("rb") as file:
        start = file.read(16)
    for magic, found in _MAGIC.items():
        if start.startswith(magic):
            return found
    problem = "is not an event recording that can be read" if start else "is empty"
    known = ", ".join(item.value for item in EventFormat)
    raise EventFormatError(f"the file {problem}; known formats: {known}, and DSEC sequence folders")


def save_events(events: Events, path: str | Path) -> None:
    """Save events; the name decides the format.

    `.npy` EventGPT's dict, `.h5` or `.hdf5` DSEC, `.npz` N-ImageNet, `.raw` Prophesee EVT2 (times relative to
    the first event). The file appears complete or not at all.

    Raises:
        EventFormatError: another name, events that don't fit the format, or a folder that can't be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SAVED_AS:
        raise EventFormatError(f"{path}: events are saved as {', '.join(SAVED_AS)}; choose one of these endings")
    partial = path.with_name(f".{path.name}.partial")
    try:
        _write(events, partial, path.suffix.lower())
        partial.replace(path)
    except EventFormatError as error:
        raise EventFormatError(f"{path}: {error}") from error
    except OSError as error:
        raise EventFormatError(f"{path}: can't be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def _write(events: Events, path: Path, suffix: str) -> None:
    if suffix in (".h5", ".hdf5"):
        dsec.write(path, events)
        return
    writer = {".npy": npy.write, ".npz": npz.write, ".raw": prophesee.write_evt2}[suffix]
    with path.open("wb") as file:
        writer(file, events)
