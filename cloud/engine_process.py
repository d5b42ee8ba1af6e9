"""The engine behind ZeroMQ: the only process of the cloud that runs torch. Started by `cloud/engine_client.py`.

A plain loop: take in what has come, step if something is due, send what came out; sleep until a message or the next
deadline. It ends when told so, or when its parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.engine_stats import StatsPage
from cloud.engine_wire import EDGE, HIGH_WATER, STOP, unpack, unpack_message
from cloud.engine_words import pack_broken, pack_ready, pack_told
from cloud.messages import Output
from cloud.replayed import ReplayBook
from cloud.state_page import StatePage
from common.ending import end_process
from common.errors import EngineError, EventSpecError, MessageError
from common.padding import Padding
from common.printable import escape_tracebacks, trace_of
from common.private_memory import keep_memory_private

_CHECK_PARENT_MS = 500
_CHECK_BOOKS_S = 5.0
_PR_SET_PDEATHSIG = 1
# Ctrl-C, a terminal that closes, and `kill` of a group reach all its processes: the front decides what becomes of this
_FOR_THE_FRONT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_COUNT_S = 0.2  # between two looks at the counters


class EngineLoop:
    """Moves messages between a socket and an engine. `book` marks what a replayed engine says.

    What can't be read or told of one session fails that session alone. Whatever else goes wrong in a turn ends the
    process, and `page` says then whose turn it was.
    """

    def __init__(
        self,
        engine: Engine,
        socket: zmq.Socket[bytes],
        parent: int,
        book: ReplayBook | None = None,
        page: StatePage | None = None,
        stats: StatsPage | None = None,
    ) -> None:
        self._engine = engine
        self._page = page
        self._stats = stats
        self._checked = self._counted = time.monotonic()
        self._book = book
        self._socket = socket
        self._parent = parent
        self._stopped = False

    def run(self) -> None:
        """Until told to stop, or until the parent is gone."""
        if self._page is not None:
            self._engine.at_work = self._page.on
        while not self._stopped and os.getppid() == self._parent:
            busy = self._socket.poll(self._patience_ms())
            with self._page.turn() if self._page is not None else contextlib.nullcontext():
                self._turn(bool(busy))

    def _turn(self, busy: bool) -> None:
        if busy:
            self._take_in()
        now = time.monotonic()
        self._send(self._engine.step(now))
        self._send(self._engine.expire(now))
        if self._page is not None:
            self._page.hold(self._engine.held)
        if now - self._counted > _COUNT_S:
            self._counted = now
            self._count(now)
        if not busy and now - self._checked > _CHECK_BOOKS_S and self._patience_ms() > 0:
            self._checked = now
            self._check_books()

    def _count(self, now: float) -> None:
        """For the metrics; without them the engine goes on."""
        if self._stats is None:
            return
        try:
            self._engine.gauge(now)
            self._stats.write(self._engine.stats)
        except Exception as error:
            self._stats = None
            self._say(f"the engine's counts don't add up ({error!r}): its metrics stand still until it is restarted")

    def _check_books(self) -> None:
        """While there is nothing else to do. Lost slots are found again; worse than that ends this process."""
        try:
            self._engine.check_integrity()
        except EngineError as error:
            found = self._engine.heal()
            self._say(f"{error}; freed the slots {found}")
            self._engine.check_integrity()

    def _patience_ms(self) -> int:
        due = self._engine.next_due()
        if due is None:
            return _CHECK_PARENT_MS
        wait = (due - time.monotonic()) * 1e3
        return 0 if wait <= 0 else min(_CHECK_PARENT_MS, int(wait) + 1)

    def _take_in(self) -> None:
        while not self._stopped:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                kind, session_id, extra, body = unpack(frames)
            except MessageError as error:  # the front's own mistake, about nobody knows whom
                self._say(str(error))
                continue
            self._stopped = kind == STOP
            if not self._stopped:
                self._take(kind, session_id, extra, body)

    def _take(self, kind: str, session_id: str, extra: list[Any], body: bytes) -> None:
        """A message for one session."""
        if self._page is not None:
            self._page.on((session_id,))
        try:
            message = unpack_message(kind, extra, body)
            if self._book is not None:
                self._book.take_in(session_id, message)
            arrived = float(extra[0]) if kind == EDGE and extra else time.monotonic()
        except Exception as error:
            self._send([self._engine.fail(session_id, _untold(error))])
        else:
            self._send(self._engine.handle(session_id, message, arrived))

    def _send(self, outputs: Sequence[Output]) -> None:
        """Tell the edges. A session of which something can't be told fails, and is told nothing after that."""
        failed: set[str] = set()
        for output in outputs:
            if output.session_id in failed:
                continue
            try:
                frames = self._told(output if self._book is None else self._book.stamp(output))
            except Exception as error:
                failed.add(output.session_id)
                frames = self._told(self._engine.fail(output.session_id, _untold(error)))
            self._socket.send_multipart(frames)

    def _told(self, output: Output) -> list[bytes]:
        frames = pack_told(output.session_id, output.message)
        self._engine.stats.told(output.message)
        return frames

    def _say(self, text: str) -> None:
        self._socket.send_multipart(pack_broken(text))


def _untold(error: Exception) -> EngineError:
    return EngineError(f"the cloud can't go on with this session: {error}")


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with the front, also while the target is loaded; the loop checks as well."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def main() -> int:
    """`python -m cloud.engine_process ADDRESS SETTINGS_JSON PARENT_PID ABOUT_JSON`.

    ABOUT: `page` (file of the `StatePage`), `stats` (file of the `StatsPage`) and `suspects` (sessions that were there
    when the engine before this died).
    """
    keep_memory_private()
    escape_tracebacks()
    for number in _FOR_THE_FRONT:
        signal.signal(number, signal.SIG_IGN)
    address, settings = sys.argv[1], EngineSettings(**json.loads(sys.argv[2]))
    about = json.loads(sys.argv[4])
    parent = int(sys.argv[3])  # told, not asked: it may be gone before this line, or while the target is loaded
    _die_with(parent)
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 1_000)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.connect(address)
    try:
        from cloud.loading import load_engine  # torch comes in here

        padding = Padding()
        engine, info, frames = load_engine(settings, padding)
        engine.suspects = frozenset(about["suspects"])
        book = ReplayBook(info.replay, padding) if info.replay else None
        page, stats = StatePage(Path(about["page"])), StatsPage(Path(about["stats"]))
        socket.send_multipart(pack_ready(info, frames))
        EngineLoop(engine, socket, parent, book, page, stats).run()
    except EventSpecError as error:
        socket.send_multipart(pack_broken(str(error)))
        return 2
    except Exception as error:
        print(trace_of(error), end="", file=sys.stderr, flush=True)
        socket.send_multipart(pack_broken(f"the engine crashed: {error!r}"))
        return 1
    finally:
        context.destroy(linger=1_000)
    return 0


if __name__ == "__main__":
    end_process(main())
