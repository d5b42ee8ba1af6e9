"""What waits between a video's reader and its decoding: bounded, in order, and it ends when either side does."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from cloud.backlog import Backlog, cost
from common import codec
from common.errors import VideoFormatError


async def endless() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.sleep(3_600)
    yield b"never"


async def test_all_is_decoded_in_order_and_the_reader_waits_for_room() -> None:
    backlog, decoded, gate = Backlog(room=10), list[int](), asyncio.Event()

    async def decode() -> None:
        await gate.wait()
        async for items in backlog:
            decoded.extend(items)

    backlog.start(decode())
    await backlog.put((1,), 30)  # one is always taken
    waiting = asyncio.create_task(backlog.put((2,), 1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    gate.set()
    await waiting
    await backlog.put((3, 4), 5)
    await backlog.finish()
    assert decoded == [1, 2, 3, 4]


async def test_a_decoding_that_fails_is_told_at_once_to_whoever_waits_for_more() -> None:
    backlog, broken = Backlog(room=1), asyncio.Event()

    async def decode() -> None:
        await broken.wait()
        raise VideoFormatError("damaged")

    backlog.start(decode())
    incoming = backlog.reading(endless())
    assert await anext(incoming) == b"first"
    await backlog.put((1,), 5)
    blocked = asyncio.create_task(backlog.put((2,), 5))
    broken.set()
    with pytest.raises(VideoFormatError, match="damaged"):
        await asyncio.wait_for(anext(incoming), 1.0)
    await asyncio.wait_for(blocked, 1.0)  # and nobody waits for room for ever
    with pytest.raises(VideoFormatError):
        await backlog.finish()


async def test_a_reader_that_goes_away_ends_the_decoding() -> None:
    backlog, ended = Backlog(), asyncio.Event()

    async def decode() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.set()

    backlog.start(decode())
    await asyncio.sleep(0)
    await backlog.stop()
    assert ended.is_set()


async def test_packets_are_charged_as_well_as_their_bytes() -> None:
    """10.8 MB of empty packets took 172 MB: what waits takes about what it is charged with."""
    backlog = Backlog()
    backlog.start(asyncio.sleep(3_600))
    data = b"\x1a\x06\x30\x00\x10\x01\x18\x01" * 4_096  # one empty packet each
    tracemalloc.start()
    try:
        for _ in range(1_000):
            _, _, items = codec.decode_video_message(data)
            try:
                async with asyncio.timeout(0.05):
                    await backlog.put(items, cost(len(data), len(items)))
            except TimeoutError:
                break
        else:
            pytest.fail("there is no end of what may wait")
        assert tracemalloc.get_traced_memory()[0] < 12 << 20
    finally:
        tracemalloc.stop()
        await backlog.stop()
