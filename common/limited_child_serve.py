"""The child's side of `common.limited_child`: sets its own limits, then answers requests until the socket closes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.child_wire import FAILED, HEADER, NO_MEMORY, REFUSED, REPLY
from common.errors import EventSpecError
from common.private_memory import keep_memory_private

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Buffer = bytes | memoryview

_MAX_TEXT = 4_096


def serve(answer: Callable[[bytes], Sequence[Buffer]], limits: dict[str, Any], lifeline: int) -> None:
    """Answer requests from descriptor 0 until there are no more; `limits` are those of `common.limited_child`."""
    _end_with_parent(lifeline)
    peer = socket.socket(fileno=os.dup(0))
    _limit(limits["memory_bytes"], limits["files"])
    with peer, contextlib.suppress(EOFError, ConnectionError):
        while True:
            _, size = HEADER.unpack(_receive(peer, HEADER.size))
            request = _receive(peer, size)
            _limit_time(limits["cpu_s"])
            kind, parts = _answered(answer, request)
            peer.sendall(HEADER.pack(kind, sum(memoryview(part).nbytes for part in parts)))
            for part in parts:
                peer.sendall(part)
            del request, parts


def _answered(answer: Callable[[bytes], Sequence[Buffer]], request: bytes) -> tuple[int, Sequence[Buffer]]:
    try:
        return REPLY, answer(request)
    except EventSpecError as error:
        return REFUSED, [str(error).encode("utf-8", "replace")[:_MAX_TEXT]]
    except MemoryError:
        return NO_MEMORY, []
    except Exception:  # whatever it is, it is this request's alone
        return FAILED, []


def _receive(peer: socket.socket, size: int) -> bytes:
    contents = bytearray(size)
    view: Any = memoryview(contents)
    while view:
        count = peer.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return bytes(contents)


def _end_with_parent(lifeline: int) -> None:
    """Nobody ever writes to this pipe: a signal comes when the parent, its only writer, is gone. SIGIO kills."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _limit(memory: int, files: int) -> None:
    with contextlib.suppress(OSError):  # where memory runs out, a child goes first
        keep_memory_private(False)  # else that file is root's
        Path("/proc/self/oom_score_adj").write_text("1000")
    keep_memory_private()
    own = max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 1
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: own + files if files else own - 1,
    }
    if not files:
        bounds[resource.RLIMIT_NPROC] = 0
    for what, most in bounds.items():
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _limit_time(seconds: int) -> None:
    """From now on, in processor time; at the limit the kernel kills."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, hard))
