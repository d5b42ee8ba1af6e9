"""The first moments of an engine process, as its front sees them: the socket, and the word that all is loaded."""

from __future__ import annotations

import asyncio
import contextlib

import zmq
import zmq.asyncio

from cloud.engine_wire import HIGH_WATER
from cloud.engine_words import Broken, Ready, read_word
from common.errors import EngineError, MessageError, ModelError

_WORDS_WAIT = 256  # of an engine, that the front hasn't read; then the engine waits
_LAST_WORD_S = 0.5  # from the end of a process to the arrival of what it said before


def bounded_socket(context: zmq.asyncio.Context, most_bytes: int) -> zmq.asyncio.Socket:
    """The front's end: what waits in it is bounded, in messages, and for those of the engine in bytes of each frame."""
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, _WORDS_WAIT)
    socket.setsockopt(zmq.MAXMSGSIZE, most_bytes)
    return socket


async def first_word(socket: zmq.asyncio.Socket, process: asyncio.subprocess.Process) -> Ready:
    """Wait until the target is loaded.

    Raises:
        ModelError: it can't be; says why.
        EngineError: the process died, or began with something else. Whatever is raised, the process is gone.
    """
    try:
        word = await _heard(socket, process)
        if isinstance(word, Broken):
            raise ModelError(word.text)
        if not isinstance(word, Ready):
            raise EngineError(f"the engine process began with {type(word).__name__}")
    except MessageError as error:
        await _end(process)
        raise EngineError(f"the engine process began with nonsense: {error}") from error
    except BaseException:
        await _end(process)
        raise
    return word


async def _heard(socket: zmq.asyncio.Socket, process: asyncio.subprocess.Process) -> object:
    first = asyncio.ensure_future(socket.recv_multipart())
    died = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({first, died}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            await asyncio.wait({first}, timeout=_LAST_WORD_S)
        if not first.done():
            raise EngineError(f"the engine process ended with status {process.returncode} while loading")
        return read_word(first.result())
    finally:
        first.cancel()
        died.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
