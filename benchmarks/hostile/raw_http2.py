"""Peers that speak HTTP/2 no further than they like, by bytes: no library of it would send what these do."""

from __future__ import annotations

import asyncio
import contextlib

SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def goaway(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lets every connection in, and sends it away a thousand times."""
    with contextlib.suppress(OSError):
        writer.write(frame(SETTINGS, 0, 0))
        writer.write(frame(GOAWAY, 0, 0, bytes(4) + (11).to_bytes(4, "big") + b"too_many_pings") * 1_000)
        await writer.drain()
    writer.close()


async def http_redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says that the cloud is elsewhere."""
    with contextlib.suppress(OSError):
        writer.write(b"HTTP/1.1 301 Moved Permanently\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
    writer.close()


async def slow_drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A frame of settings, a byte each half second: there is always something to wait for."""
    with contextlib.suppress(OSError):
        for byte in frame(SETTINGS, 0, 0, bytes(6 * 100)):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.5)
    writer.close()
