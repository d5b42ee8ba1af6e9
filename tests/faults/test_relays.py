"""The relays do what they are told, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.faults.message_relay import MessageRelay, Mischief
from benchmarks.faults.tcp_relay import TcpRelay, damaged


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[TcpRelay, asyncio.StreamReader, asyncio.StreamWriter]]:
    """An echo server, behind a relay, and a connection to it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    relay = TcpRelay(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    host, _, port = relay.listen("127.0.0.1").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    try:
        yield relay, reader, writer
    finally:
        writer.close()
        relay.close()
        server.close()


async def test_a_reset_is_a_reset() -> None:
    async with echoing() as (relay, reader, _):
        assert relay.strike({"do": "reset"}) == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_half_open_is_silence(way: str) -> None:
    async with echoing() as (relay, reader, writer):
        assert relay.strike({"do": "half_open", "way": way}) == 1
        writer.write(b"anybody there?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)


async def test_a_trickle_is_a_byte_a_second() -> None:
    async with echoing() as (relay, reader, writer):
        relay.strike({"do": "trickle", "seconds": 0.5, "way": "up"})
        writer.write(b"abcdef")
        assert await asyncio.wait_for(reader.read(10), 1.0) == b"a"
        assert await asyncio.wait_for(reader.readexactly(5), 3.0) == b"bcdef"


async def test_corruption_changes_a_few_bytes() -> None:
    async with echoing() as (relay, reader, writer):
        relay.strike({"do": "corrupt", "seed": 4, "way": "down"})
        writer.write(bytes(100))
        heard = await reader.readexactly(100)
        assert 1 <= sum(byte != 0 for byte in heard) <= 3
        writer.write(bytes(100))
        assert await reader.readexactly(100) == bytes(100)


async def test_a_cloud_that_isnt_there_is_a_reset() -> None:
    relay = TcpRelay("127.0.0.1:1")
    host, _, port = relay.listen("127.0.0.1").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    relay.close()


def test_damage_is_never_nothing() -> None:
    for seed in range(200):
        assert 0 <= sum(a != b for a, b in zip(damaged(bytes(20), seed), bytes(20), strict=True)) <= 3
        assert len(damaged(b"abc", seed)) == 3
    assert sum(damaged(bytes(20), seed) != bytes(20) for seed in range(200)) > 190
    assert damaged(b"", 1) == b""


async def through(kind: str, rate: float, messages: list[bytes]) -> list[bytes]:
    relay = MessageRelay.__new__(MessageRelay)
    until = asyncio.get_running_loop().time() + 60.0
    relay.mischief = Mischief(kind, "up", rate, until, random.Random(1))

    async def incoming() -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    return [data async for data in relay._through(incoming(), "up")]


MESSAGES = [bytes([n]) * 4 for n in range(40)]


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
async def test_messages_come_twice_or_out_of_order_or_damaged_but_all_come(rate: float) -> None:
    doubled = await through("duplicate", rate, MESSAGES)
    assert list(dict.fromkeys(doubled)) == MESSAGES
    assert len(doubled) > len(MESSAGES)
    mixed = await through("reorder", rate, MESSAGES)
    assert sorted(mixed) == MESSAGES
    assert mixed != MESSAGES
    assert all(abs(mixed.index(message) - place) <= 2 for place, message in enumerate(MESSAGES))
    hurt = await through("damage", rate, MESSAGES)
    assert len(hurt) == len(MESSAGES)
    assert hurt != MESSAGES


async def test_without_mischief_nothing_happens() -> None:
    assert await through("damage", 0.0, MESSAGES) == MESSAGES
