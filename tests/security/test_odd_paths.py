"""A call's path may be any bytes: what a stranger sends there, or a flipped bit makes of it, ends only that call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio
import pytest

from benchmarks.faults.flips.flipping import AimedFlips
from benchmarks.faults.flips.frames import Span
from benchmarks.faults.flips.light_cloud import LightCloud
from benchmarks.faults.tcp_relay import TcpRelay
from common import codec
from common.errors import EventSpecError
from edge.link import GrpcLink, LinkSettings

INFO = f"/{codec.SERVICE}/GetInfo".encode()
ODD = [
    b"/eventspec.v\xb1.SpeculationService/GetInfo",
    b"\xff",
    b"",
    b"/",
    b"\x00" * 40,
    b"/" + b"x" * 4_000,
    INFO + b"\x80",
    "/eventspec/\N{SNOWMAN}".encode(),
]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    """HPACK's literal of a string, not compressed."""
    size = bytes([len(value)]) if len(value) < 127 else b"\x7f"
    rest = len(value) - 127
    while len(value) >= 127:
        size += bytes([rest & 127 | (128 if rest > 127 else 0)])
        rest >>= 7
        if not rest:
            break
    return size + value


def call_of(path: bytes) -> bytes:
    """A connection's first bytes, with a call of this path."""
    fields = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"a"}
    fields |= {b"te": b"trailers", b"content-type": b"application/grpc"}
    headers = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields.items())
    begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    return begin + _frame(1, 4, 1, headers) + _frame(0, 1, 1, b"\x00" * 5)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    cloud = LightCloud()
    yield await cloud.start()
    await cloud.stop()


async def works(address: str) -> bool:
    link = GrpcLink(LinkSettings(address))
    try:
        return (await link.info(timeout=10.0)).model_name == "light"
    finally:
        await link.close()


@pytest.mark.parametrize("path", ODD, ids=repr)
async def test_a_path_ends_no_server(address: str, path: bytes) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(call_of(path))
    async with asyncio.timeout(20):
        heard = b""
        while data := await reader.read(4_096):  # a status, or the end of the connection
            heard += data
            if b"grpc-status" in heard or _frame(3, 0, 1, b"")[3:9] in heard:
                break
    writer.close()
    assert await works(address)


async def test_a_method_that_isnt_there_is_told_as_such(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        for name in ("/eventspec.v1.SpeculationService/GetMore", "/another.Service/Call"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(name)(b"", timeout=10.0)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await works(address)


async def test_no_flipped_bit_of_the_path_ends_the_server(address: str) -> None:
    """Each of its bits in turn, on connections of their own."""

    def bits() -> Iterator[int]:
        yield from range(8 * len(INFO))

    for bit in bits():

        def aim(way: str, span: Span, data: bytes, bit: int = bit) -> int | None:
            at = data.find(INFO) if way == "up" and span.kind == "HEADERS" else -1
            return 8 * at + bit if at >= 0 else None

        flips = AimedFlips(aim)
        relay = TcpRelay(address, flips.changing)
        link = GrpcLink(LinkSettings(relay.listen("127.0.0.1")))
        with pytest.raises(EventSpecError) as caught:
            await link.info(timeout=5.0)
        assert flips.flips
        assert caught.value.retryable, caught.value
        await link.close()
        relay.close()
    assert await works(address)
