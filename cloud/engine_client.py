"""The front's thin client of the engine process: start it, send it messages, hear its outputs, notice its death."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

import zmq
import zmq.asyncio

from cloud.blame import Blame
from cloud.config import EngineSettings
from cloud.engine_stats import EngineTotals
from cloud.engine_wire import BROKEN, OUT, READY, STOP, pack, pack_message, unpack
from cloud.messages import EngineMessage, FrameSpec
from cloud.restarts import Restarts
from cloud.state_page import Held, StatePage
from common import codec
from common.errors import EngineDeadError, EngineError, ModelError
from common.scratch import ScratchFolder
from common.types import Commit, Open, ServerInfo


class EngineClient(Protocol):
    """What the service needs of an engine, in a process of its own or in this one."""

    @property
    def info(self) -> ServerInfo:
        """The target's capabilities."""

    @property
    def frames(self) -> FrameSpec:
        """How to preprocess frames."""

    async def send(self, session_id: str, message: EngineMessage) -> None:
        """Give the engine a message. Raises EngineDeadError."""


class EngineProcess:
    """An engine in a process of its own, restarted with backoff when it dies, or when a step of it never ends.

    `on_output` gets a session id and `SpeculateResponse` bytes; `on_death` is called when the process is gone,
    `on_alive` when it takes messages (True), and when it doesn't any more (False).
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        on_output: Callable[[str, bytes], None],
        on_death: Callable[[], None],
        on_notice: Callable[[str], None] = lambda text: None,
        on_alive: Callable[[bool], None] = lambda alive: None,
    ) -> None:
        self._settings = settings
        self._on_output = on_output
        self._on_death = on_death
        self._on_notice = on_notice
        self._on_alive = on_alive
        self._folder = ScratchFolder()
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._page: StatePage | None = None
        self.totals = EngineTotals()
        self._tasks: list[asyncio.Task[None]] = []
        self._starts = 0
        self._spoke = False
        self._blame = Blame()
        self._restarts = Restarts()
        self._stopping = False
        self._info: ServerInfo | None = None
        self._frames: FrameSpec | None = None

    @property
    def info(self) -> ServerInfo:
        """The target's capabilities, and what the engine holds at the moment."""
        assert self._info is not None
        held = self.held
        return dataclasses.replace(self._info, sessions_held=held.sessions - held.clips, sessions_parked=held.parked)

    @property
    def held(self) -> Held:
        """What the engine holds at the moment."""
        return self._page.held() if self._page is not None else Held()

    @property
    def restarts(self) -> int:
        """Processes started after the first."""
        return max(0, self._starts - 1)

    @property
    def frames(self) -> FrameSpec:
        """How to preprocess frames."""
        assert self._frames is not None
        return self._frames

    @property
    def pid(self) -> int | None:
        """Process id of the engine, if it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def ready(self) -> bool:
        """True if the engine takes messages."""
        return self._socket is not None

    # ------------------------------------------------------------------------------------------------ starting

    async def start(self) -> None:
        """Start the process and wait until its target is loaded. Raises ModelError or EngineError."""
        self._starts += 1
        folder = self._folder.emptied()  # of the engine before
        path, page = folder / f"engine-{self._starts}.sock", folder / f"engine-{self._starts}.state"
        self._page = StatePage.create(page)
        stats = folder / f"engine-{self._starts}.stats"
        self.totals.begin(stats)
        socket = self._context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(f"ipc://{path}")
        settings = json.dumps(dataclasses.asdict(self._settings))
        about = json.dumps({"page": str(page), "stats": str(stats), "suspects": self._blame.suspects})
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "cloud.engine_process", f"ipc://{path}", settings, str(os.getpid()), about
        )
        try:
            await self._await_ready(socket, self._process)
        except BaseException:
            socket.close()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise
        self._socket, self._spoke = socket, False
        self._tasks = [
            asyncio.create_task(self._read(socket)),
            asyncio.create_task(self._watch(self._process)),
            asyncio.create_task(self._guard(self._process, self._page)),
        ]
        self._on_alive(True)

    async def _await_ready(self, socket: zmq.asyncio.Socket, process: asyncio.subprocess.Process) -> None:
        first = asyncio.ensure_future(socket.recv_multipart())
        died = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({first, died}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                await asyncio.wait({first}, timeout=0.5)
            if not first.done():
                raise EngineError(f"the engine process ended with status {process.returncode} while loading")
            kind, _, extra, _ = unpack(first.result())
        finally:
            first.cancel()
            died.cancel()
        if kind == BROKEN:
            raise ModelError(extra[0])
        if kind != READY:
            raise EngineError(f"the engine process began with {kind!r}")
        info, frames = extra
        self._info = ServerInfo(**{**info, "eos_token_ids": tuple(info["eos_token_ids"])})
        self._frames = FrameSpec(**frames)

    # ------------------------------------------------------------------------------------------------- talking

    async def send(self, session_id: str, message: EngineMessage) -> None:
        """Give the engine a message. Raises EngineDeadError, or EngineError for a session that kills engines."""
        if isinstance(message, Open) and self._blame.refused(session_id):
            raise EngineError("the engine died more than once over this session; ask something else")
        if self._socket is None:
            if self._restarts.failed:
                raise EngineError("the engine dies again and again; see the daemon's log")
            raise EngineDeadError("the engine is restarting; try again in a moment")
        await self._socket.send_multipart(pack_message(session_id, message))

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            kind, session_id, extra, body = unpack(await socket.recv_multipart())
            if kind == OUT:
                self._progressed(session_id, body)
                self._on_output(session_id, body)
            elif kind == BROKEN:
                self._on_notice(extra[0])

    def _progressed(self, session_id: str, body: bytes) -> None:
        if self._spoke and not self._blame.knows(session_id):
            return
        if isinstance(codec.decode_cloud_message(body), Commit):
            self._spoke = True
            self._restarts.worked()
            self._blame.progressed(session_id)

    # --------------------------------------------------------------------------------------------------- death

    async def _guard(self, process: asyncio.subprocess.Process, page: StatePage) -> None:
        """Kill an engine that has been at one piece of work for too long."""
        timeout = self._settings.step_timeout_s
        while timeout:
            await asyncio.sleep(min(1.0, timeout / 8))
            since = page.busy_since()
            if since and time.monotonic() - since > timeout:
                self._on_notice(f"the engine has been in one step for more than {timeout:g} s; killing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        began = time.monotonic()
        status = await process.wait()
        for task in (self._tasks[0], self._tasks[2]):
            task.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._stopping:
            return
        if self._page is not None:
            self._blame.died(self._page.working_on())
            self._page.hold(Held())
        pause = self._restarts.died(time.monotonic() - began, did_something=self._spoke)
        self._on_notice(f"the engine process died (status {status}); restarting it")
        self._on_alive(False)
        self._on_death()
        await self._restart(pause)

    async def _restart(self, pause: float) -> None:
        while not self._stopping:
            if self._restarts.failed:
                self._on_notice(f"the engine died {self._restarts.in_a_row} times in a row: refusing everybody for now")
            await asyncio.sleep(pause)
            try:
                await self.start()
            except (EngineError, ModelError) as error:
                pause = self._restarts.died(0.0, did_something=False)
                self._on_notice(f"the engine doesn't start: {error}; trying again in {pause:.1f} s")
            else:
                self._on_notice("the engine is ready again")
                return

    async def stop(self) -> None:
        """End the process and everything that belongs to it."""
        self._stopping = True
        process, socket = self._process, self._socket
        if socket is not None:
            with contextlib.suppress(zmq.ZMQError):
                await socket.send_multipart(pack(STOP))
        if process is not None and process.returncode is None:
            if socket is None:  # it is loading and hears nothing yet
                process.kill()
            try:
                await asyncio.wait_for(process.wait(), 5.0)
            except TimeoutError:
                process.kill()
                await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._context.destroy(linger=0)
        self._folder.remove()
