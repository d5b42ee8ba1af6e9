"""Reads files whose parsers are native code in processes of their own, which a hostile file may crash but not ours.

Fuzzing found files that make HDF5 segfault, and files that make the AEDAT4 library abort. So such files are read by a
child, which is bounded in memory and time and hands plain columns back through a pipe. Children stay for the next file:
starting one takes a third of a second, asking a waiting one milliseconds.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError
from edge.events.reading import Request, check_count
from edge.events.types import Events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

_COLUMNS = (("x", np.uint16), ("y", np.uint16), ("t", np.int64), ("p", np.uint8))
_MAX_REPLY = 65_536  # bytes of a reply's first line
_KEPT_WAITING = 2
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from edge.events.isolated_child import serve; serve()"
)
_CRASHED = "reading it crashed or took too long: the file is damaged or hostile; copy it again"


def load(path: Path, request: Request) -> Events:
    """Read a window as the format's own reader would.

    Raises:
        EventFormatError: what that reader raised, or that it didn't survive the file.
    """
    with _borrowed() as child:
        sensor = None if request.sensor is None else [int(side) for side in request.sensor]
        window = {"start_us": request.start_us, "duration_us": request.duration_us, "sensor": sensor}
        reply = child.ask({"do": "load", "path": str(path.resolve()), **window})
        count, width, height = (_number(reply.get(name)) for name in ("events", "width", "height"))
        check_count(count)
        columns = {name: child.column(count, dtype) for name, dtype in _COLUMNS}
        return Events(**columns, width=width, height=height)


def inspect(path: Path) -> dict[str, Any]:
    """Figures of a recording, by the names of `edge.events.EventInfo`.

    Raises:
        EventFormatError: as `load`.
    """
    with _borrowed() as child:
        return child.ask({"do": "inspect", "path": str(path.resolve())})


def warm_up() -> None:
    """Start a child ahead of the first file; returns at once."""
    with _lock:
        if not _waiting:
            _waiting.append(_Child())


class _Child:
    """One child process, and the two pipes to it."""

    def __init__(self) -> None:
        # isolated (-I) from the current folder and the user's packages, with this process's own search path
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # threads reserve memory, which is bounded
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # a Ctrl-C is not for it; it ends when its pipe closes
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a question; the reply's first line, or the error in it."""
        try:
            self._in.write(json.dumps(question).encode() + b"\n")
            self._in.flush()
            reply = json.loads(self._out.readline(_MAX_REPLY))
        except (OSError, ValueError, RecursionError) as error:
            raise EventFormatError(_CRASHED) from error
        if not isinstance(reply, dict):
            raise EventFormatError(_CRASHED)
        if "error" in reply:
            raise _RefusedError(str(reply["error"]))
        return reply

    def column(self, count: int, dtype: type[np.generic]) -> NDArray[Any]:
        """One column [count] that follows a reply."""
        size = count * np.dtype(dtype).itemsize
        contents = self._out.read(size)
        if len(contents) != size:
            raise EventFormatError(_CRASHED)
        return np.frombuffer(contents, dtype=dtype)

    def end(self) -> None:
        """Stop it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


def _number(value: object) -> int:
    """A count that a child, which a file may have corrupted, has named."""
    if not isinstance(value, int) or value < 0:
        raise EventFormatError(_CRASHED)
    return value


class _RefusedError(EventFormatError):
    """The reader refused the file, and is ready for the next."""


_lock = threading.Lock()
_waiting: list[_Child] = []


@contextlib.contextmanager
def _borrowed() -> Iterator[_Child]:
    """A waiting child or a new one; it waits again afterwards, unless it failed."""
    with _lock:
        child = _waiting.pop() if _waiting else None
    if child is None or not child.alive:
        child = _Child()
    usable = False
    try:
        yield child
        usable = True
    except _RefusedError as error:
        usable = True
        raise EventFormatError(str(error)) from error
    finally:
        with _lock:
            keep = usable and len(_waiting) < _KEPT_WAITING
            if keep:
                _waiting.append(child)
        if not keep:
            child.end()


os.register_at_fork(after_in_child=_waiting.clear)  # the children are the parent's


@atexit.register
def _end_all() -> None:
    while _waiting:
        _waiting.pop().end()
