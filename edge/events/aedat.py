"""iniVation's AEDAT4 recordings, through the package `aedat` (extra `aedat`), in a process of its own.

The package panics on many damaged files, and some make it abort the whole process. So a child process reads,
bounded in memory and time, and hands plain bytes back.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from common.errors import EventFormatError
from edge.events.reading import MAX_EVENTS, Request, check_count, events_from_columns
from edge.events.types import Events

_CHILD = Path(__file__).with_name("aedat_child.py")
_RECORD = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])


def read(path: Path, request: Request) -> Events:
    """Read the first event stream of a recording. The sensor is the file's, or the caller's.

    Raises:
        EventFormatError: a missing extra, a file without events, a damaged one, an empty window.
    """
    if importlib.util.find_spec("aedat") is None:
        raise EventFormatError('AEDAT4 recordings need a reader: pip install "eventspec[aedat]"')
    command = [sys.executable, "-I", str(_CHILD), str(path.resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        header = child.stdout.readline(1_000)
        contents = child.stdout.read(MAX_EVENTS * _RECORD.itemsize + 1)
        if len(contents) > MAX_EVENTS * _RECORD.itemsize:
            child.kill()
            check_count(MAX_EVENTS + 1)
    if child.returncode != 0 or len(contents) % _RECORD.itemsize:
        raise EventFormatError("the AEDAT4 file is truncated or damaged; copy it again")
    found = json.loads(header)
    if "width" not in found:
        raise EventFormatError("the recording holds no stream of events; choose another file")
    records = np.frombuffer(contents, dtype=_RECORD)
    columns = {name: records[name] for name in ("x", "y", "t", "p")}
    return request.cut(events_from_columns(columns, request.sensor or (found["width"], found["height"])))
