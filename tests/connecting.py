"""Strangers for tests, as a process of its own: HTTP/2 connections that do nothing but answer, byte by byte.

    python -m tests.connecting HOST PORT COUNT [CA]

Prints `N connected`, answers pings and settings, prints `N left` for each line that it reads, and ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import ssl
import sys
from collections.abc import AsyncIterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS, _PING = 4, 6
_MOST = 4_000


class Stranger(asyncio.Protocol):
    """One connection that stays as long as it may."""

    def __init__(self, alive: set[Stranger]) -> None:
        self._alive = alive
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._alive.add(self)
        transport.write(PREFACE)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 9 and len(self._data) >= 9 + (size := int.from_bytes(self._data[:3], "big")):
            kind, flags, body = self._data[3], self._data[4], self._data[9 : 9 + size]
            self._data = self._data[9 + size :]
            if kind in (_SETTINGS, _PING) and not flags & 1 and self._transport is not None:
                answer = body if kind == _PING else b""
                self._transport.write(len(answer).to_bytes(3, "big") + bytes([kind, 1, 0, 0, 0, 0]) + answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._alive.discard(self)


async def _main(host: str, port: int, count: int, ca: str = "") -> None:
    tls = ssl.create_default_context(cafile=ca) if ca else None
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MOST + 100), hard))
    loop, alive, connected = asyncio.get_running_loop(), set[Stranger](), 0
    for _ in range(min(count, _MOST)):
        with contextlib.suppress(OSError):
            await loop.create_connection(lambda: Stranger(alive), host, port, ssl=tls)
            connected += 1
    print(connected, "connected", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(len(alive), "left", flush=True)


class Strangers:
    """A running crowd of them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> int:
        """The number in the next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            return int((await self._process.stdout.readline()).split()[0])

    async def left(self) -> int:
        """How many are still connected."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self.said()


@contextlib.asynccontextmanager
async def strangers(address: str, count: int, ca: str = "") -> AsyncIterator[Strangers]:
    """So many of them at an address, once all have tried; with TLS, if the file of its CA is given."""
    host, _, port = address.rpartition(":")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.connecting",
        host.strip("[]"),
        port,
        str(count),
        *([ca] if ca else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        crowd = Strangers(process)
        assert await crowd.said() > 0
        yield crowd
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
