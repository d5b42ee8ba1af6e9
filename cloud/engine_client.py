"""The front's thin client of the engine process: start it, send it messages, hear its outputs, notice its death.

What the engine says is read like any peer's word (`cloud/engine_words.py`). One that talks nonsense, floods, closes its
connection or doesn't turn any more is killed, and replaced like one that died by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import zmq
import zmq.asyncio

from cloud.blame import Blame
from cloud.config import EngineSettings
from cloud.engine_start import bounded_socket, first_word
from cloud.engine_stats import EngineTotals
from cloud.engine_wire import STOP, pack, pack_message
from cloud.engine_words import Broken, Told, most_bytes, read_word
from cloud.messages import EngineMessage, FrameSpec, Park
from cloud.pulse import LOOK_S, Pulse
from cloud.restarts import Restarts
from cloud.state_page import Held, StateReader
from common.allowance import Allowance
from common.errors import EngineDeadError, EngineError, MessageError, ModelError
from common.scratch import ScratchFolder
from common.types import Cancel, Close, Commit, Open, ServerInfo

_PROGRAM = ("-P", "-m", "cloud.engine_process")
_WORDS_PER_S = 1_000  # of each session, and of the engine itself; ten seconds' worth may come at once
_WORDS_A_TURN = 16  # then the front's other work gets its turn
_NOTICES = 20  # of an engine's own, in its life
_LAST_WORDS_S = 2.0  # from the end of the connection to that of the process


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
    `on_hang` when it doesn't turn any more though nothing keeps it from it, `on_alive` when it takes messages (True),
    and when it doesn't any more (False).
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        on_output: Callable[[str, bytes], None],
        on_death: Callable[[], None],
        on_hang: Callable[[], None] = lambda: None,
        on_notice: Callable[[str], None] = lambda text: None,
        on_alive: Callable[[bool], None] = lambda alive: None,
    ) -> None:
        self._settings = settings
        self._on_output = on_output
        self._on_death = on_death
        self._on_hang = on_hang
        self._on_notice = on_notice
        self._on_alive = on_alive
        self._folder = ScratchFolder()
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._page: StateReader | None = None
        self._pulse = Pulse(0.0)
        self.totals = EngineTotals()
        self._tasks: list[asyncio.Task[None]] = []
        self._starts = 0
        self._sending: set[asyncio.Future[Any]] = set()  # messages that wait for room
        self._spoke = self._condemned = False
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
        return self._page.held(self._settings.sessions) if self._page is not None and self.up else Held()

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
    def up(self) -> bool:
        """True if there is an engine that has loaded its target."""
        return self._socket is not None

    @property
    def ready(self) -> bool:
        """True if the engine takes messages, and turns."""
        return self.up and not self._pulse.silent

    # ------------------------------------------------------------------------------------------------ starting

    async def start(self) -> None:
        """Start the process and wait until its target is loaded. Raises ModelError or EngineError."""
        self._starts += 1
        folder = self._folder.emptied()  # of the engine before
        path, page = folder / f"engine-{self._starts}.sock", folder / f"engine-{self._starts}.state"
        if self._page is not None:
            self._page.close()
        self._page = StateReader(page)
        stats = folder / f"engine-{self._starts}.stats"
        self.totals.begin(stats)
        socket = bounded_socket(self._context, most_bytes(self._settings.max_answer_tokens))
        socket.bind(f"ipc://{path}")
        settings = json.dumps(dataclasses.asdict(self._settings))
        about = json.dumps({"page": str(page), "stats": str(stats), "suspects": self._blame.suspects})
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, *_PROGRAM, f"ipc://{path}", settings, str(os.getpid()), about
            )
            ready = await first_word(socket, process)
        except BaseException:
            socket.close()
            raise
        self._info, self._frames = ready.info, ready.frames
        self._spoke = self._condemned = False
        self._pulse = Pulse(time.monotonic())
        self._socket = socket
        self._tasks = [
            asyncio.create_task(self._watch(process)),
            asyncio.create_task(self._read(socket, process)),
            asyncio.create_task(self._listen(socket, process)),
            asyncio.create_task(self._guard(process, self._page)),
        ]
        self._on_alive(True)

    # ------------------------------------------------------------------------------------------------- talking

    async def send(self, session_id: str, message: EngineMessage) -> None:
        """Give the engine a message.

        Raises:
            EngineDeadError: there is no engine, or it doesn't turn.
            EngineError: the session kills engines, engines die whatever they are asked, or a value of the message
                fits into none.
        """
        if isinstance(message, Open) and self._blame.refused(session_id):
            raise EngineError("the engine died more than once over this session; ask something else")
        socket = self._socket
        if socket is None:
            if self._restarts.failed:
                raise EngineError("the engine dies again and again; see the daemon's log")
            raise EngineDeadError("the engine is restarting; try again in a moment")
        if self._pulse.silent and not isinstance(message, Park | Close | Cancel):
            raise EngineDeadError("the engine doesn't respond; try again in a moment")
        try:
            frames = pack_message(session_id, message)
        except MessageError as error:
            raise EngineError(f"the cloud can't go on with this session: {error}") from error
        try:
            sending = asyncio.ensure_future(socket.send_multipart(frames))
            if not sending.done():
                self._sending.add(sending)
                sending.add_done_callback(self._sending.discard)
            await sending
        except zmq.ZMQError as error:
            raise EngineDeadError("the engine died; try again in a moment") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise EngineDeadError("the engine died, or doesn't respond; try again in a moment") from None

    async def _read(self, socket: zmq.asyncio.Socket, process: asyncio.subprocess.Process) -> None:
        """Hear what it says, for as long as that makes sense."""
        rate = _WORDS_PER_S * (self._settings.sessions + 1)
        pace = Allowance(rate, 10.0 * rate)
        heard = notices = 0
        try:
            while True:
                word = read_word(await socket.recv_multipart())
                heard += 1
                if heard % _WORDS_A_TURN == 0:  # a socket that always has a next message never lets go
                    await asyncio.sleep(0)
                if pace.take(1, time.monotonic()) > 0:
                    raise MessageError(f"more than {rate:,} messages a second")
                if isinstance(word, Told):
                    self._progressed(word)
                    self._on_output(word.session_id, word.body)
                elif isinstance(word, Broken) and notices < _NOTICES:
                    notices += 1
                    self._on_notice(word.text)
                else:
                    raise MessageError(f"a {type(word).__name__} too many")
        except Exception as error:  # its words are nonsense, or break what hears them
            self._condemn(process, f"the engine process talks nonsense ({error})")

    def _progressed(self, word: Told) -> None:
        if isinstance(word.message, Commit) and (not self._spoke or self._blame.knows(word.session_id)):
            self._spoke = True
            self._restarts.worked()
            self._blame.progressed(word.session_id)

    # --------------------------------------------------------------------------------------------------- death

    def _condemn(self, process: asyncio.subprocess.Process, why: str) -> None:
        """Kill an engine that can't be trusted with another word."""
        self._condemned = True
        self._on_notice(f"{why}; killing it")
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def _listen(self, socket: zmq.asyncio.Socket, process: asyncio.subprocess.Process) -> None:
        """Notice a connection that the engine has closed, or that was closed over a message beyond the limit."""
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            await monitor.recv_multipart()
            await asyncio.sleep(_LAST_WORDS_S)  # a process that ends closes its connection, too
            if process.returncode is None and not self._stopping:
                self._condemn(process, "the engine process closed its connection, or sent more than it may at once")
        finally:
            socket.disable_monitor()
            monitor.close(linger=0)

    async def _guard(self, process: asyncio.subprocess.Process, page: StateReader) -> None:
        """Say so when the engine doesn't turn; kill it when that, or one piece of its work, takes too long."""
        pulse, timeout = self._pulse, self._settings.step_timeout_s
        while True:
            await asyncio.sleep(min(LOOK_S, timeout / 8) if timeout else LOOK_S)
            was = pulse.silent
            pulse.look(page.count(), time.monotonic())
            if pulse.silent != was:
                self._turned(hangs=pulse.silent)
            if timeout and pulse.stood_s > timeout:
                what = "has been in one step" if pulse.busy else "hasn't responded"
                self._on_notice(f"the engine {what} for more than {timeout:g} s; killing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return

    def _turned(self, *, hangs: bool) -> None:
        self._on_notice("the engine hangs: it is at no work, and doesn't respond" if hangs else "the engine is back")
        self._on_alive(not hangs)
        if hangs:
            for sending in list(self._sending):
                sending.cancel()
            self._on_hang()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        began = time.monotonic()
        status = await process.wait()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks[1:], return_exceptions=True)
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
        if self._stopping:
            return
        if self._page is not None:
            self._blame.died(self._page.working_on())
        lived_s = time.monotonic() - began
        pause = self._restarts.died(lived_s, did_something=self._spoke, condemned=self._condemned)
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
            except (EngineError, ModelError, OSError) as error:
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
