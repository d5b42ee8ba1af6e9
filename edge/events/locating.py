"""Finds and opens the file of a recording, which may be named by its DSEC sequence folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from common.errors import EventFormatError, PathError
from common.named_files import Allowed, Kind, kind_of, open_named

if TYPE_CHECKING:
    import io
    from pathlib import Path

_IN_SEQUENCE = ("events/left/events.h5", "left/events.h5", "events.h5")


def open_recording_file(path: Path, allowed: Allowed) -> io.FileIO:
    """Open a recording: a regular file, or the one inside a sequence folder, its `events` folder, or `events/left`.

    Raises:
        PathError: there is none, it is no regular file, or it may not be named.
        EventFormatError: a folder holds none.
    """
    if kind_of(path, allowed) is not Kind.FOLDER:
        return open_named(path, allowed)
    for inside in _IN_SEQUENCE:
        try:
            return open_named(path / inside, allowed)
        except PathError:
            if os.path.lexists(path / inside):
                raise
    raise EventFormatError(f"the folder holds no {_IN_SEQUENCE[0]}; give a DSEC sequence, or a file")
