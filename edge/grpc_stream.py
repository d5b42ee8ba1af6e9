"""A `Speculate` call as the edge's stream: all is sealed, silence is borne for so long, cancelling loses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from common import codec
from common.errors import EventSpecError, LinkError
from common.rpc import blames_connection, error_of_status
from common.sealing import Caller, DamagedError
from common.types import CloudMessage, Commit, EdgeMessage, Opened

_LONGEST_LEASE_S = 300.0  # that is believed
_RENEWALS = 64  # messages of a stream without a token that count as a word
_WRITE_S = 20.0  # that a cloud may take to take a message
_QUIET_S = 0.5  # without a word, before the line is asked for a sign of life


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. A damaged byte can make one stream mute on a line that lives.

    Attributes:
        opened: a first word is waited for, before the session is resumed on another stream.
        token: another token; in between it is the lease of `Opened`.
        video: another acknowledgement of what was sent.
    """

    opened: float = 20.0
    token: float = 10.0
    video: float = 30.0


PATIENT = Patience()


class GrpcStream:
    """A `Speculate` call.

    `seals` are the call's. `check`: asks for a sign of life, when there is silence. `answered` hears after how many
    seconds the first message came, `suspect` that the connection may be damaged for good. `busy`: the edge has still to
    send what the cloud waits for, so that silence means nothing.
    """

    def __init__(
        self,
        call: Any,
        seals: Caller,
        *,
        patience: Patience = PATIENT,
        check: Callable[[], Awaitable[None]] | None = None,
        answered: Callable[[float], None] = lambda seconds: None,
        suspect: Callable[[], None] = lambda: None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._call = call
        self._check = check
        self._answered: Callable[[float], None] | None = answered
        self._began = self._heard_at = time.monotonic()
        self._renewals = 0
        self._busy = busy
        self._seals = seals
        self._suspect = suspect
        self._patience = patience
        self._patience_s = patience.opened
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._end)
        self._reading: asyncio.Future[Any] | None = None
        self._writes = asyncio.Lock()

    def _end(self, _: Any) -> None:
        if not self._over.done():
            self._over.set_result(None)

    # A read or write that is cancelled makes grpc.aio cancel the whole call, and an asker that goes away cancels
    # whatever is under way: the goodbye would be lost, the session parked. So both are shielded.

    async def _write(self, data: bytes) -> None:
        async def in_order() -> None:
            async with self._writes:
                await self._call.write(data)

        writing = asyncio.ensure_future(in_order())
        writing.add_done_callback(retrieved)
        await asyncio.wait({writing, self._over}, return_when=asyncio.FIRST_COMPLETED, timeout=_WRITE_S)
        if not writing.done():  # a write of grpc.aio's doesn't always hear that its call is over
            await asyncio.sleep(0)
            if not writing.done():
                writing.cancel()
                raise LinkError("the stream is over" if self._over.done() else "the cloud takes no messages")
        await result_of(writing)

    async def _read(self) -> Any:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
            self._reading.add_done_callback(retrieved)
        while self._check is not None and not self._reading.done():
            await asyncio.wait({self._reading}, timeout=_QUIET_S)
            if not self._reading.done():
                await self._check()
                self._listened()
        data = await result_of(self._reading)
        self._reading = None
        if self._answered is not None:
            self._answered(time.monotonic() - self._began)
            self._answered = None
        return data

    async def send(self, message: EdgeMessage) -> int:
        """Send; returns the bytes on the wire."""
        data = self._seals.seal(codec.encode_edge_message(message))
        try:
            await self._write(data)
        except grpc.RpcError as error:
            raise self._failed(error) from error
        except Exception as error:  # grpc.aio raises InvalidStateError and others once the call is over
            raise LinkError("the stream is closed") from error
        return len(data)

    async def receive(self) -> tuple[CloudMessage, int]:
        """The next message and its bytes."""
        try:
            data = await self._read()
        except grpc.RpcError as error:
            raise self._failed(error) from error
        except EventSpecError:
            raise
        except Exception as error:  # e.g. a status that isn't text
            self._suspect()
            raise LinkError(f"the stream broke ({type(error).__name__})") from error
        if data is grpc.aio.EOF:
            raise LinkError("the cloud ended the stream")
        try:
            message = codec.decode_cloud_message(self._seals.open(data))
        except DamagedError:
            self._suspect()
            raise
        self._word(message)
        return message, len(data)

    def _word(self, message: CloudMessage) -> None:
        """It renews the patience with this stream: a token always, anything else so many times."""
        brings = isinstance(message, Commit) and bool(message.token_ids)
        if brings:
            self._patience_s = self._patience.token
        elif isinstance(message, Opened):
            self._patience_s = max(self._patience.token, min(message.lease_ms / 1e3, _LONGEST_LEASE_S))
        self._renewals += not brings
        if brings or self._renewals <= _RENEWALS:
            self._heard_at = time.monotonic()
        else:
            self._listened()

    def _listened(self) -> None:
        """Raises LinkError: long enough, without a word that counts."""
        self._heard_at = time.monotonic() if self._busy() else self._heard_at
        if self._check is not None and time.monotonic() - self._heard_at > self._patience_s:
            raise LinkError(f"no word for {self._patience_s:.0f} s on this stream")

    def distrust(self) -> None:
        """There is no other cloud."""

    def _failed(self, error: grpc.RpcError) -> EventSpecError:
        if blames_connection(error, self._seals):
            self._suspect()
        return error_of_status(error, self._seals)

    async def close(self) -> None:
        """Half-close, let the cloud finish, then drop the call."""
        try:
            async with self._writes:
                await result_of(asyncio.ensure_future(self._call.done_writing()))
            while await self._read() is not grpc.aio.EOF:
                pass
        except Exception:
            pass
        finally:
            self._call.cancel()


async def result_of(operation: asyncio.Future[Any]) -> Any:
    """What an operation of gRPC came to; it isn't cancelled with its caller.

    A channel that is closed cancels the operations on it: that is a lost link, and no wish of who waits here.
    """
    try:
        return await asyncio.shield(operation)
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        if operation.cancelled() and waiting is not None and not waiting.cancelling():
            raise LinkError("the connection was given up") from None
        raise


def retrieved(done: asyncio.Future[Any]) -> None:
    """Nobody may be left to hear of a shielded error."""
    if not done.cancelled():
        done.exception()
