"""A relay of gRPC messages between edge and cloud, which doubles, swaps and damages them on demand.

It seals what it passes on anew, so that a message that comes twice or out of order isn't just a wrong checksum.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from benchmarks.faults.tcp_relay import damaged
from common import codec
from common.rpc import channel_options
from common.sealing import Callee, Caller

_HELD_S = 0.05  # a message that waits to be overtaken goes at last


@dataclass(eq=False)
class Mischief:
    """What happens to messages until a moment of the loop's time."""

    kind: str = ""
    way: str = "both"
    rate: float = 0.0
    until: float = 0.0
    draw: random.Random | None = None
    met: int = 0

    def meets(self, way: str, now: float) -> bool:
        """Whether the next message of that direction is struck."""
        if now >= self.until or self.way not in ("both", way):
            return False
        assert self.draw is not None
        struck = self.draw.random() < self.rate
        self.met += struck
        return struck


class MessageRelay:
    """The two streams of the contract, and `GetInfo`, passed on to a cloud."""

    def __init__(self, target: str) -> None:
        options = [*channel_options(), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self._server = grpc.aio.server(options=channel_options())
        self.mischief = Mischief()

    async def listen(self, host: str) -> str:
        """Begin; returns the address."""
        streams = {name: self._stream(f"/{codec.SERVICE}/{name}") for name in ("Speculate", "StreamVideo")}
        handlers = {name: grpc.stream_stream_rpc_method_handler(relay) for name, relay in streams.items()}
        handlers["GetInfo"] = grpc.unary_unary_rpc_method_handler(self._info)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(codec.SERVICE, handlers),))
        port = self._server.add_insecure_port(f"{host}:0")
        await self._server.start()
        return f"{host}:{port}"

    def strike(self, order: dict[str, Any]) -> None:
        """From now on, for a while."""
        until = asyncio.get_running_loop().time() + order["seconds"]
        self.mischief = Mischief(order["do"], order["way"], order["rate"], until, random.Random(order["seed"]))

    async def _info(self, request: bytes, context: Any) -> bytes:
        reply: bytes = await self._channel.unary_unary(f"/{codec.SERVICE}/GetInfo")(request, timeout=5.0)
        return reply

    def _stream(self, path: str) -> Callable[[Any, Any], AsyncIterator[bytes]]:
        async def relay(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            edge, cloud = Callee(path), Caller(path)
            call = self._channel.stream_stream(path)(self._through(requests, "up", edge.open, cloud.seal))
            try:
                async for data in self._through(call, "down", cloud.open, edge.seal):
                    yield data
            except grpc.RpcError as error:
                trailing = [(k, v) for k, v in error.trailing_metadata() or () if k.startswith("eventspec-")]
                await context.abort(error.code(), error.details() or "", trailing_metadata=trailing)
            finally:
                call.cancel()

        return relay

    async def _through(
        self,
        messages: AsyncIterator[bytes],
        way: str,
        open_: Callable[[bytes], bytes] = bytes,
        seal: Callable[[bytes], bytes] = bytes,
    ) -> AsyncIterator[bytes]:
        """The messages of one stream and direction, with what the mischief does to them.

        The first of a call, which all checksums go on from, and the mark of an upload's end keep their places.
        """
        loop = asyncio.get_running_loop()
        source = aiter(messages)
        held: bytes | None = None
        pending: asyncio.Future[bytes | None] | None = None
        first = way == "up" and open_ is not bytes
        try:
            while True:
                if pending is None:
                    pending = asyncio.ensure_future(anext(source, None))
                if held is not None:
                    await asyncio.wait({pending}, timeout=_HELD_S)
                    if not pending.done():
                        yield seal(held)
                        held = None
                        continue
                came = await pending
                pending = None
                if came is None:
                    if held is not None:
                        yield seal(held)
                    return
                data = open_(came)
                if held is not None and not data:
                    yield seal(held)
                    held = None
                if first or not data or not self.mischief.meets(way, loop.time()):
                    first = False
                    yield seal(data)
                elif self.mischief.kind == "duplicate":
                    yield seal(data)
                    yield seal(data)
                elif self.mischief.kind == "damage":
                    assert self.mischief.draw is not None
                    yield damaged(seal(data), self.mischief.draw.randrange(2**31))
                elif held is None:
                    held = data
                    continue
                else:
                    yield seal(data)
                if held is not None:
                    yield seal(held)
                    held = None
        finally:
            if pending is not None:
                pending.cancel()
                with suppress(BaseException):
                    await pending

    async def close(self) -> None:
        """End everything."""
        await self._server.stop(0.0)
        await self._channel.close()
