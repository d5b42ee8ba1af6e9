"""Children forked from a template process (`common/child_template.py`): the parent's side."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.child_wire import MOST_CONTROL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_START = """
import json, sys
settings = json.loads(sys.argv[1])
sys.path += settings["path"]
from common.child_template import main
main(settings["entries"])
"""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads can't be forked, and reserve memory
_PATIENCE_S = 60.0  # a busy machine imports slowly
_WARM_PATIENCE_S = 10.0  # once that is done, forking takes milliseconds: one that says nothing hangs


class TemplateProcess:
    """A process to fork from. Any thread may use it; it starts when it is first needed, and again if it is lost."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, entry: str) -> None:
        """Start it ahead of the first fork; returns at once. Raises OSError if it can't be started."""
        with self._lock:
            if self._process is None:
                self._start(entry)

    def fork(self, entry: str, settings: dict[str, Any], files: Sequence[int]) -> int:
        """A child that answers with `entry`, has the limits `settings`, and a socket and a lifeline; its process id.

        Raises:
            OSError: there is no room for a process.
        """
        request = {"do": "fork", "entry": entry, "settings": settings}
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start(entry)
            try:
                reply = self._ask(request, files)
            except OSError:  # it died just now, or hangs: another one may do better, once
                self._start(entry)
                reply = self._ask(request, files)
        if "pid" not in reply:
            raise OSError(0, str(reply.get("error", "the template is gone")))
        return int(reply["pid"])

    def kill(self, pid: int) -> bool:
        """End one of its children; True if it is gone already."""
        return self._tell("kill", pid)

    def gone(self, pid: int) -> bool:
        """Whether one of its children has ended."""
        return self._tell("gone", pid)

    def forget(self) -> None:
        """In a fork of this process: it isn't ours."""
        if self._control is not None:
            self._control.close()
        self._lock, self._process, self._control = threading.Lock(), None, None

    def _tell(self, what: str, pid: int) -> bool:
        with self._lock, contextlib.suppress(OSError):
            return bool(self._ask({"do": what, "pid": pid}).get("gone", True))
        return True  # its children end with it

    def _start(self, entry: str) -> None:
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, json.dumps({"path": search_path(), "entries": [entry]})],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=passed | _ONE_THREAD | self._environment,
                cwd="/",
                start_new_session=True,  # a Ctrl-C is not for it
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.settimeout(_PATIENCE_S)
        self._control = ours

    def _ask(self, request: dict[str, Any], files: Sequence[int] = ()) -> dict[str, Any]:
        if self._control is None:
            raise ConnectionError
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], files)
            data = self._control.recv(MOST_CONTROL)
            if not data:
                raise ConnectionResetError(0, "the process that children are forked from is gone")
        except OSError:
            self._end()
            raise
        self._control.settimeout(_WARM_PATIENCE_S)
        reply: dict[str, Any] = json.loads(data)
        return reply

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._control = None


_templates: dict[tuple[tuple[str, str], ...], TemplateProcess] = {}
_creating = threading.Lock()


def template(environment: Mapping[str, str]) -> TemplateProcess:
    """This process's template with these environment variables."""
    with _creating:
        return _templates.setdefault(tuple(sorted(environment.items())), TemplateProcess(environment))


def search_path() -> list[str]:
    """This process's search path without the current folder, unless that is where this package lies."""
    own = str(Path(__file__).resolve().parent.parent)
    kept = [place for place in sys.path if Path(place).is_absolute() and place not in (str(Path.cwd()), own)]
    return [own, *kept]


def _forget() -> None:
    for one in _templates.values():
        one.forget()


os.register_at_fork(after_in_child=_forget)
