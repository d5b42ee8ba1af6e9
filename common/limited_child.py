"""Child processes with limits, for native parsers and decoders of bytes that may be hostile.

A child may crash, hang, or want all memory: only the request that made it do so fails. Requests and replies are bytes
behind a header of nine bytes, over a socket pair; nothing is pickled. `common.child_pool` lends children out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.child_wire import FAILED, HEADER, NO_MEMORY, REFUSED, REPLY, REQUEST
from common.errors import EventSpecError
from common.forking import template

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_TEXT = 4_096  # bytes of a refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may take.

    Attributes:
        memory_bytes: address space, libraries included.
        cpu_s: processor time for one request, in whole seconds.
        wall_s: seconds for one request, until its whole reply is here.
        reply_bytes: length of one reply, at most.
        kept_bytes: a child that holds more memory than this after its work is not kept for the next.
        files: that it may have open at a time. With none it can't open a file or a socket, nor start a process or
            a thread (the latter not as root).
    """

    memory_bytes: int = 4 * 2**30
    cpu_s: int = 60
    wall_s: float = 90.0
    reply_bytes: int = 64 * 2**20
    kept_bytes: int = 64 << 20
    files: int = 64


class LimitedChild:
    """One child process. Belongs to one thread at a time."""

    def __init__(self, entry: str, limits: Limits, error: type[EventSpecError], environment: Mapping[str, str]) -> None:
        """Start it; raises OSError if that can't be."""
        self._limits, self._error = limits, error
        self.usable = True
        self._template = template(environment)
        self._gone = False
        self._socket, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()  # when this process ends, however it does, the kernel ends the child
        try:
            self.pid = self._template.fork(entry, asdict(limits), (theirs.fileno(), lifeline))
        except BaseException:
            self.forget()
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    @property
    def alive(self) -> bool:
        self._gone = self._gone or self._template.gone(self.pid)
        return not self._gone

    @property
    def connected(self) -> bool:
        """False if it ended while it waited; asks nobody."""
        self._socket.setblocking(False)  # the next request sets its own patience
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def ask(self, *request: bytes | memoryview) -> memoryview:
        """Send a request, given in one or more pieces; the reply.

        Raises:
            EventSpecError: of the pool's class: what the child said is wrong, or that it crashed, took too long or too
                much memory. After the latter it is not `usable` any more.
        """
        self._due = time.monotonic() + self._limits.wall_s
        try:
            kind, reply = self._exchange(request)
        except TimeoutError:
            raise self._failed(f"it took more than {self._limits.wall_s:g} s") from None
        except OSError as error:
            why = "it crashed, ran out of processor time, or was ended since this machine has no memory left"
            raise self._failed(why, "try again, and if that fails, too, ") from error
        if kind == REPLY:
            return reply
        if kind == REFUSED:
            raise self._error(_printable(bytes(reply)))
        if kind == NO_MEMORY:
            raise self._failed(f"it needs more than {self._limits.memory_bytes >> 20:,} MiB of memory")
        raise self._failed("it failed")

    def holds_too_much(self) -> bool:
        """True if it keeps more memory than a waiting child may."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return not self.alive
        return pages * os.sysconf("SC_PAGE_SIZE") > self._limits.kept_bytes

    def interrupt(self) -> None:
        """Whoever waits for its reply gets the error of a crash. Any thread; returns at once."""
        self.usable = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> bool:
        """Kill it, whatever it is doing; False if it isn't gone yet. The kernel may hold it on a dead network disk."""
        self.usable = False
        self.forget()
        self._gone = self._gone or self._template.kill(self.pid)
        return self._gone

    def forget(self) -> None:
        """Close this process's ends."""
        self._socket.close()
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def _exchange(self, request: tuple[bytes | memoryview, ...]) -> tuple[int, memoryview]:
        self._wait()
        self._socket.sendall(HEADER.pack(REQUEST, sum(memoryview(part).nbytes for part in request)))
        for part in request:
            self._wait()
            self._socket.sendall(part)
        kind, size = HEADER.unpack(self._receive(HEADER.size))
        if kind not in (REPLY, REFUSED, NO_MEMORY, FAILED):
            raise self._failed("it sent nonsense")
        if size > (self._limits.reply_bytes if kind == REPLY else _MAX_TEXT):
            raise self._failed(f"its reply of {size:,} bytes is too long")
        return kind, self._receive(size)

    def _receive(self, size: int) -> memoryview:
        contents = memoryview(bytearray(size))  # takes memory only as it is filled
        at = 0
        while at < size:
            self._wait()
            count = self._socket.recv_into(contents[at:])
            if count == 0:
                raise ConnectionResetError
            at += count
        return contents

    def _wait(self) -> None:
        """Let the socket's next step take what is left of the request's time."""
        left = self._due - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def _failed(self, why: str, advice: str = "") -> EventSpecError:
        self.usable = False
        return self._error(f"reading it was given up, since {why}: {advice}the data is damaged, hostile or too large")


def _printable(text: bytes) -> str:
    """A refusal's text: one line, whatever a child that a file has taken over may have written."""
    return "".join(one if one.isprintable() else "?" for one in text.decode("utf-8", "replace"))
