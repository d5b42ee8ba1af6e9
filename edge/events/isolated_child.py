"""The child of `edge.events.isolated`: answers questions from stdin on stdout until its pipe closes."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import EventFormatError
from edge.events.formats import read_here
from edge.events.inspection import inspect_here
from edge.events.reading import Request

if TYPE_CHECKING:
    from typing import BinaryIO

_MAX_MEMORY = 4 * 2**30  # bytes of address space
_MAX_SECONDS = 60  # of processor time a file


def serve() -> None:
    """Read questions, one JSON object a line, until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # replies go to a descriptor of their own, so that nothing a library prints gets between them
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(ImportError):  # ahead of the first file; if it is missing, the reader will say so
        import h5py  # noqa: F401
        import hdf5plugin  # noqa: F401
    for line in sys.stdin.buffer:
        _limit_time()
        try:
            _answer(json.loads(line), replies)
        except EventFormatError as error:
            _write(replies, {"error": str(error)})
        except MemoryError:
            _write(replies, {"error": "it doesn't fit in memory; choose a shorter window"})
        except OSError as error:
            _write(replies, {"error": f"can't be read ({error.strerror or error})"})


def _answer(question: dict[str, Any], replies: BinaryIO) -> None:
    path = Path(question["path"])
    if question["do"] == "inspect":
        _write(replies, asdict(inspect_here(path)))
        return
    sensor = tuple(question["sensor"]) if question["sensor"] else None
    events = read_here(path, Request(question["start_us"], question["duration_us"], sensor))
    _write(replies, {"events": len(events), "width": events.width, "height": events.height})
    for column in (events.x, events.y, events.t, events.p):
        replies.write(column.data)
    replies.flush()


def _write(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + _MAX_SECONDS, hard))
