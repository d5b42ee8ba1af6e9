"""The relay's process: connections of the edge's side to a port here go on to the cloud's server, delayed and paced.

All connections share one line in each direction, as on the link. Bytes count as packets of 1500 bytes with headers.
A full queue isn't read into further, so that the sender's socket blocks. A connection's first bytes wait for its
handshake, one round trip. A lost packet, and what comes after it on its connection, arrives a round trip later, as
after a fast retransmission.

Reads a profile as one line of JSON, answers `{"ready": true}` or `{"error": ...}`, then one line for each further line:
`{"do": "relay", "to": HOST:PORT}` -> `{"address": HOST:PORT}`, `{"do": "statistics"}`, and
`{"do": "cut", "seconds": S}`: nothing arrives for so long. Ends when its input ends.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from benchmarks.link.child_side import read_line, say, stay_behind
from benchmarks.link.kernel import be_punctual
from benchmarks.link.packets import Direction, PacketQueue, make_queue
from benchmarks.link.profile import PACKET_BYTES, LinkProfile
from common.errors import EventSpecError

HEADER_BYTES = 52
SEGMENT_BYTES = PACKET_BYTES - HEADER_BYTES
_CHUNK = 8 * SEGMENT_BYTES


class Relay:
    """Serves the edge's connections to one address of the cloud's side."""

    def __init__(self, profile: LinkProfile) -> None:
        self._rtt = profile.rtt_ms / 1e3
        self.queues = {direction: make_queue(profile, direction) for direction in Direction}
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut_until = 0.0

    def now(self) -> float:
        """Seconds since the link's start."""
        return self._loop.time() - self._begin

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; the link's end ends it."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def open(self, host: str, port: int) -> str:
        """Listen for connections that go on to HOST:PORT; returns where."""
        server = socket.create_server(("127.0.0.1", 0), backlog=256)
        server.setblocking(False)
        self.keep(self._accept(server, (host, port)))
        return f"127.0.0.1:{server.getsockname()[1]}"

    async def _accept(self, server: socket.socket, target: tuple[str, int]) -> None:
        with server:
            while True:
                client, _ = await self._loop.sock_accept(server)
                self.keep(self._serve(client, target))

    async def _serve(self, client: socket.socket, target: tuple[str, int]) -> None:
        with client, socket.socket() as cloud:
            for end in (client, cloud):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened = max(self.now(), self.cut_until) + self._rtt
            with suppress(OSError):
                await self._loop.sock_connect(cloud, target)
                ways = ((client, cloud, Direction.UP, opened), (cloud, client, Direction.DOWN, 0.0))
                async with asyncio.TaskGroup() as both:
                    for source, sink, direction, start in ways:
                        both.create_task(self._carry(source, sink, self.queues[direction], start))

    async def _carry(self, source: socket.socket, sink: socket.socket, queue: PacketQueue, start: float) -> None:
        """One direction of one connection, until its end, which crosses the link as well."""
        await self._sleep_until(start)
        pending: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writer = self._loop.create_task(self._write(pending, sink))
        stalled = 0.0
        try:
            while True:
                while (room_at := queue.free_at(self.now())) > self.now():
                    await self._sleep_until(room_at)
                data = await self._loop.sock_recv(source, _CHUNK)
                now = self.now()
                for begin in range(0, max(1, len(data)), SEGMENT_BYTES):
                    segment = data[begin : begin + SEGMENT_BYTES]
                    arrival, lost = queue.transmit(len(segment) + HEADER_BYTES, now)
                    stalled = max(stalled, arrival + self._rtt * lost, self.cut_until)
                    pending.put_nowait((stalled, segment))
                if not data:
                    break
            await writer
        except OSError:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
        finally:
            writer.cancel()

    async def _write(self, pending: asyncio.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        with suppress(OSError):
            while True:
                arrival, segment = await pending.get()
                await self._sleep_until(arrival)
                if not segment:
                    sink.shutdown(socket.SHUT_WR)
                    return
                await self._loop.sock_sendall(sink, segment)

    async def _sleep_until(self, moment: float) -> None:
        if moment > self.now():
            await asyncio.sleep(moment - self.now())


def _answer(relay: Relay, message: dict[str, Any]) -> dict[str, Any]:
    if message["do"] == "relay":
        host, _, port = message["to"].rpartition(":")
        try:
            return {"address": relay.open(host, int(port))}
        except (OSError, ValueError) as error:
            return {"error": f"a relay to {message['to']} can't be opened: {error}"}
    if message["do"] == "cut":
        relay.cut_until = relay.now() + message["seconds"]
    counts = {direction.value: queue.counts for direction, queue in relay.queues.items()}
    return {name: {"sent": c.sent, "lost": c.lost, "dropped": c.dropped} for name, c in counts.items()}


async def _run() -> None:
    try:
        relay = Relay(LinkProfile.from_dict(json.loads(read_line())))
    except (EventSpecError, ValueError) as error:
        say({"error": str(error)})
        sys.exit(1)
    ended = asyncio.Event()

    def react() -> None:
        if line := read_line():
            say(_answer(relay, json.loads(line)))
        else:
            ended.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(0, react)
    say({"ready": True})
    await ended.wait()
    loop.remove_reader(0)


def main() -> None:
    """Run until standard input ends."""
    stay_behind()
    be_punctual()
    # select's timeouts have microseconds, epoll's only milliseconds
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_run())


if __name__ == "__main__":
    main()
