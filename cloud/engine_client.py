"""The front's thin client of the engine process: start it, send it messages, hear its outputs, notice its death."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import zmq
import zmq.asyncio

from cloud.config import EngineSettings
from cloud.engine_wire import BROKEN, OUT, READY, STOP, pack, pack_message, unpack
from cloud.messages import EngineMessage, FrameSpec
from common.errors import EngineDeadError, EngineError, ModelError
from common.types import ServerInfo


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
    """An engine in a process of its own, restarted with backoff when it dies.

    `on_output` gets a session id and `SpeculateResponse` bytes; `on_death` is called when the process is gone.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        on_output: Callable[[str, bytes], None],
        on_death: Callable[[], None],
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._settings = settings
        self._on_output = on_output
        self._on_death = on_death
        self._on_notice = on_notice
        self._folder = tempfile.TemporaryDirectory(prefix="eventspec-")  # mode 0700
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._starts = 0
        self._stopping = False
        self._info: ServerInfo | None = None
        self._frames: FrameSpec | None = None

    @property
    def info(self) -> ServerInfo:
        """The target's capabilities."""
        assert self._info is not None
        return self._info

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

    async def start(self) -> None:
        """Start the process and wait until its target is loaded. Raises ModelError or EngineError."""
        self._starts += 1
        path = Path(self._folder.name) / f"engine-{self._starts}.sock"
        socket = self._context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(f"ipc://{path}")
        settings = json.dumps(dataclasses.asdict(self._settings))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cloud.engine_process", f"ipc://{path}", settings, str(os.getpid())
        )
        try:
            await self._await_ready(socket, self._process)
        except BaseException:
            socket.close()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise
        self._socket = socket
        self._tasks = [
            asyncio.create_task(self._read(socket)),
            asyncio.create_task(self._watch(self._process)),
        ]

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

    async def send(self, session_id: str, message: EngineMessage) -> None:
        """Give the engine a message."""
        if self._socket is None:
            raise EngineDeadError("the engine is restarting; try again in a moment")
        await self._socket.send_multipart(pack_message(session_id, message))

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            kind, session_id, extra, body = unpack(await socket.recv_multipart())
            if kind == OUT:
                self._on_output(session_id, body)
            elif kind == BROKEN:
                self._on_notice(extra[0])

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        self._tasks[0].cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._stopping:
            return
        self._on_notice(f"the engine process died (status {status}); restarting it")
        self._on_death()
        await self._restart()

    async def _restart(self) -> None:
        delay = 0.1
        while not self._stopping:
            try:
                await self.start()
            except (EngineError, ModelError) as error:
                self._on_notice(f"the engine doesn't start: {error}; trying again in {delay:.1f} s")
                await asyncio.sleep(delay)
                delay = min(delay * 2, 10.0)
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
        self._folder.cleanup()
