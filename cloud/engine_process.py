"""The engine behind ZeroMQ: the only process of the cloud that runs torch. Started by `cloud/engine_client.py`.

A plain loop: take in what has come, step if something is due, send what came out; sleep until a message or the next
deadline. It ends when told so, or when its parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import zmq

from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.engine_stats import StatsPage
from cloud.engine_wire import BROKEN, EDGE, OUT, READY, STOP, pack, unpack, unpack_message
from cloud.messages import Output
from cloud.replayed import ReplayBook
from cloud.state_page import StatePage
from common import codec
from common.ending import end_process
from common.errors import EngineError, EventSpecError
from common.padding import Padding

_CHECK_PARENT_MS = 500
_CHECK_BOOKS_S = 5.0
_PR_SET_PDEATHSIG = 1
# Ctrl-C, a terminal that closes, and `kill` of a group reach all its processes: the front decides what becomes of this
_FOR_THE_FRONT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_COUNT_S = 0.2  # between two looks at the counters


class EngineLoop:
    """Moves messages between a socket and an engine. `book` marks what a replayed engine says."""

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
            with self._page.work() if self._page is not None else contextlib.nullcontext():
                if busy:
                    self._take_in()
                now = time.monotonic()
                self._send(self._engine.step(now))
                self._send(self._engine.expire(now))
            if self._page is not None:
                self._page.hold(self._engine.held)
            if self._stats is not None and now - self._counted > _COUNT_S:
                self._counted = now
                self._engine.gauge(now)
                self._stats.write(self._engine.stats)
            if not busy and now - self._checked > _CHECK_BOOKS_S and self._patience_ms() > 0:
                self._checked = now
                self._check_books()

    def _check_books(self) -> None:
        """While there is nothing else to do. Lost slots are found again; worse than that ends this process."""
        try:
            self._engine.check_integrity()
        except EngineError as error:
            found = self._engine.heal()
            self._socket.send_multipart(pack(BROKEN, "", f"{error}; freed the slots {found}"))
            self._engine.check_integrity()

    def _patience_ms(self) -> int:
        due = self._engine.next_due()
        if due is None:
            return _CHECK_PARENT_MS
        wait = (due - time.monotonic()) * 1e3
        return 0 if wait <= 0 else min(_CHECK_PARENT_MS, int(wait) + 1)

    def _take_in(self) -> None:
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            kind, session_id, extra, body = unpack(frames)
            if kind == STOP:
                self._stopped = True
                return
            message = unpack_message(kind, extra, body)
            if self._book is not None:
                self._book.take_in(session_id, message)
            arrived = extra[0] if kind == EDGE and extra else time.monotonic()
            if self._page is not None:
                self._page.on((session_id,))
            self._send(self._engine.handle(session_id, message, arrived))

    def _send(self, outputs: list[Output]) -> None:
        for output in outputs if self._book is None else map(self._book.stamp, outputs):
            self._engine.stats.told(output.message)
            body = codec.encode_cloud_message(output.message)
            self._socket.send_multipart(pack(OUT, output.session_id, body=body))


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
    for number in _FOR_THE_FRONT:
        signal.signal(number, signal.SIG_IGN)
    address, settings = sys.argv[1], EngineSettings(**json.loads(sys.argv[2]))
    about = json.loads(sys.argv[4])
    parent = int(sys.argv[3])  # told, not asked: it may be gone before this line, or while the target is loaded
    _die_with(parent)
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 1_000)
    socket.connect(address)
    try:
        from cloud.loading import load_engine  # torch comes in here

        padding = Padding()
        engine, info, frames = load_engine(settings, padding)
        socket.send_multipart(pack(READY, "", dataclasses.asdict(info), dataclasses.asdict(frames)))
        engine.suspects = frozenset(about["suspects"])
        book = ReplayBook(info.replay, padding) if info.replay else None
        page, stats = StatePage(Path(about["page"])), StatsPage(Path(about["stats"]))
        EngineLoop(engine, socket, parent, book, page, stats).run()
    except EventSpecError as error:
        socket.send_multipart(pack(BROKEN, "", str(error)))
        return 2
    except Exception as error:
        traceback.print_exc()
        socket.send_multipart(pack(BROKEN, "", f"the engine crashed: {error!r}"))
        return 1
    finally:
        context.destroy(linger=1_000)
    return 0


if __name__ == "__main__":
    end_process(main())
