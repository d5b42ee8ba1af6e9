"""What strangers do at a port without a token: stay, watch its health, bring bytes that unfold, or flip bits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from benchmarks.hostile.attackers import Attack
from benchmarks.hostile.raw_http2 import ACK, PING, PREFACE, SETTINGS, frame
from common import codec

_CONNECTIONS = 140  # of one attacker
_WATCHES = 250
_STAY_S = 4.0
_UNFOLDED = 16 << 20


async def answer_pings(attack: Attack) -> None:
    """Many connections of HTTP/2 that stay, say nothing, and answer every ping."""
    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(_stay(attack))


async def _stay(attack: Attack) -> None:
    host, _, port = attack.address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        attack.heard["not let in"] += 1
        return
    try:
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        async with asyncio.timeout(_STAY_S):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] in (SETTINGS, PING) and not head[4] & ACK:
                    writer.write(frame(head[3], ACK, 0, payload if head[3] == PING else b""))
    except TimeoutError:
        attack.heard["stayed"] += 1
    except (OSError, asyncio.IncompleteReadError):
        attack.heard["closed"] += 1
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def watch_health(attack: Attack) -> None:
    """Watches of the daemon's health, hundreds on one connection."""
    request = health_pb2.HealthCheckRequest(service="").SerializeToString()
    calls = [attack.channel.unary_stream("/grpc.health.v1.Health/Watch")(request) for _ in range(_WATCHES)]

    async def hear(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> None:
        try:
            async with asyncio.timeout(_STAY_S):
                while await call.read() is not grpc.aio.EOF:
                    attack.heard["told"] += 1
        except TimeoutError:
            attack.heard["watching"] += 1
        except grpc.aio.AioRpcError as error:
            attack.heard[f"status {error.code().name}"] += 1
        finally:
            call.cancel()

    await asyncio.gather(*map(hear, calls))


async def unfold(attack: Attack) -> None:
    """A message that is small on the way and large behind it."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(attack.address, options, grpc.Compression.Gzip) as channel:
        call = channel.stream_stream(f"/{codec.SERVICE}/Speculate")(metadata=attack.metadata)
        await attack.say(call, [bytes(_UNFOLDED)])


async def flip_bits(attack: Attack) -> None:
    """An honest conversation by bytes, with bits flipped anywhere: frames, headers, HPACK, messages."""
    flipping = _Flipping(attack)
    host, _, port = attack.address.rpartition(":")
    async with await asyncio.start_server(flipping.forward(host, int(port)), "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.stream_stream(f"/{codec.SERVICE}/Speculate")(metadata=attack.metadata)
            await attack.say(call, [attack.opening(), *map(attack.draft, range(1, 6))])


class _Flipping:
    """A relay to the daemon that flips a bit in most of what goes up."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack

    def forward(self, host: str, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        """For `asyncio.start_server`."""

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, damage: bool) -> None:
            with contextlib.suppress(OSError):
                while data := bytearray(await reader.read(4_096)):
                    chance = self._attack.chance
                    if damage and chance.random() < 0.6:
                        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                        self._attack.heard["flipped"] += 1
                    writer.write(bytes(data))
                    await writer.drain()
            writer.close()

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there, back = await asyncio.open_connection(host, port)
            except OSError:
                self._attack.heard["not let in"] += 1
                writer.close()
                return
            await asyncio.gather(pump(reader, back, True), pump(there, writer, False), return_exceptions=True)

        return one
