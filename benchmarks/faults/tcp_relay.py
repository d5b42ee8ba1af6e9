"""A relay of bytes between edge and cloud that misbehaves on demand."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time: close sends a reset


@dataclass(eq=False)
class Way:
    """One direction of one connection. Moments are the loop's time."""

    name: str
    swallow: bool = False
    trickle_until: float = 0.0
    damage: list[int] = field(default_factory=list)  # seeds, one for each of the next chunks
    change: Callable[[bytes], bytes] = bytes  # of every chunk


@dataclass(eq=False)
class Connection:
    """Two sockets and what goes between them."""

    client: socket.socket
    server: socket.socket
    ways: tuple[Way, Way]
    task: asyncio.Future[Any]


class TcpRelay:
    """Listens, and connects on to a target. `changing` makes what changes the bytes of a way, by its name."""

    def __init__(self, target: str, changing: Callable[[str], Callable[[bytes], bytes]] = lambda way: bytes) -> None:
        self._changing = changing
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, host: str) -> str:
        """Begin; returns the address."""
        server = socket.create_server((host, 0), backlog=256)
        server.setblocking(False)
        self._keep(self._accept(server))
        return f"{host}:{server.getsockname()[1]}"

    def _keep(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, server: socket.socket) -> None:
        with server:
            while True:
                client, _ = await self._loop.sock_accept(server)
                self._keep(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await self._loop.sock_connect(server, self._target)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return
            up, down = (Way(name, change=self._changing(name)) for name in ("up", "down"))
            both = asyncio.ensure_future(
                asyncio.gather(self._carry(client, server, up), self._carry(server, client, down))
            )
            connection = Connection(client, server, (up, down), both)
            self._connections.add(connection)
            try:
                with suppress(asyncio.CancelledError):
                    await both
            finally:
                self._connections.discard(connection)

    async def _carry(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        try:
            while data := await self._loop.sock_recv(source, _CHUNK):
                if way.swallow:
                    continue
                data = way.change(data)
                if way.damage:
                    data = damaged(data, way.damage.pop(0))
                while way.trickle_until > self._loop.time() and data:
                    await self._loop.sock_sendall(sink, data[:1])
                    data = data[1:]
                    await asyncio.sleep(1.0)
                if data and not way.swallow:
                    await self._loop.sock_sendall(sink, data)
            if not way.swallow:  # a peer behind a half-open connection never hears of the end
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            if not way.swallow:
                with suppress(OSError):
                    sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()

    def strike(self, order: dict[str, Any]) -> int:
        """Do as told to all connections; returns how many there were."""
        now, struck = self._loop.time(), list(self._connections)
        for connection in struck:
            ways = [w for w in connection.ways if order.get("way", "both") in ("both", w.name)]
            match order["do"]:
                case "reset":
                    for end in (connection.client, connection.server):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    connection.task.cancel()
                case "half_open":
                    for way in ways:
                        way.swallow = True
                case "trickle":
                    for way in ways:
                        way.trickle_until = now + order["seconds"]
                case "corrupt":
                    for way in ways:
                        way.damage = [order["seed"] + n for n in range(order.get("chunks", 1))]
        return len(struck)


def damaged(data: bytes, seed: int) -> bytes:
    """The bytes with one to three of them changed."""
    draw = random.Random(seed)
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3)) if data else 0):
        changed[draw.randrange(len(changed))] ^= draw.randrange(1, 256)
    return bytes(changed)
