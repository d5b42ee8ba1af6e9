"""The process that limited children are forked from: it has imported what they need, and never reads what they read.

Runs with one thread and nothing of its parent's memory. Forking from it takes two milliseconds, and children share its
memory until they write to it; starting an interpreter that imports FFmpeg takes a third of a second and twenty times
the memory.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from common.child_wire import MOST_CONTROL
from common.limited_child_serve import serve
from common.private_memory import keep_memory_private

_PDEATHSIG, _NO_NEW_PRIVS = 1, 38  # of prctl

Answer = Callable[[bytes], Any]


class Template:
    """What the process does."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        self._made: dict[str, Answer | None] = {}
        self._busy = False
        self._prctl = ctypes.CDLL(None).prctl
        signal.signal(signal.SIGCHLD, lambda *_: None if self._busy else self._reap())

    def serve(self) -> None:
        """Do what the parent says until it closes."""
        while True:
            data, files, _, _ = socket.recv_fds(self._control, MOST_CONTROL, 2)
            if not data:
                return
            self._busy = True  # whose number is spoken of isn't reaped meanwhile
            try:
                reply = self._do(json.loads(data), files)
            except OSError as error:
                reply = {"error": error.strerror or str(error)}
            for file in files:
                os.close(file)
            self._busy = False
            self._reap()
            self._control.send(json.dumps(reply).encode())

    def _do(self, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
        match request["do"]:
            case "fork":
                return {"pid": self._fork(request["entry"], request["settings"], files)}
            case "kill":
                if request["pid"] in self._children:  # else it is gone, and its number may be another's
                    os.kill(request["pid"], signal.SIGKILL)
        self._reap()
        return {"gone": request["pid"] not in self._children}

    def _fork(self, entry: str, settings: dict[str, Any], files: list[int]) -> int:
        answer, parent = self.answer(entry), os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(parent, entry, settings, files, answer)
        self._children.add(pid)
        return pid

    def answer(self, entry: str) -> Answer | None:
        """What answers for an entry; None if it can't be made here, then its children say so."""
        if entry not in self._made:
            try:
                self._made[entry] = made(entry)
            except Exception:
                self._made[entry] = None
            gc.collect()
            gc.freeze()  # pages that nobody writes to stay shared
        return self._made[entry]

    def _become_child(
        self, parent: int, entry: str, settings: dict[str, Any], files: list[int], answer: Answer | None
    ) -> None:
        status = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before we asked
                return
            self._prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
            peer, lifeline = files
            os.dup2(peer, 0)  # in place of the control socket
            os.dup2(lifeline, 3)
            os.closerange(4, 1024)
            serve(answer or made(entry), settings, lifeline=3)
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> None:
        for pid in list(self._children):
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                self._children.discard(pid)


def made(entry: str) -> Answer:
    """What "package.module:make" makes."""
    module, _, make = entry.partition(":")
    answer: Answer = getattr(importlib.import_module(module), make)()
    return answer


def main(entries: list[str]) -> None:
    """Standard input is the socket to the parent; `entries` are made at once."""
    keep_memory_private()
    template = Template(socket.socket(fileno=os.dup(0)))
    for entry in entries:
        template.answer(entry)
    template.serve()
