"""Places for videos being decoded: bounded, shared, and given back whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from cloud.decoding_places import DecodingPlaces
from common.errors import CapacityError


async def test_who_waits_too_long_is_refused_and_told_when_to_come_back() -> None:
    places = DecodingPlaces(1, 0.05)
    async with places.hold("host"):
        with pytest.raises(CapacityError, match="too many videos") as caught:
            async with places.hold("host"):
                pass
    assert caught.value.retry_after_ms > 0
    async with places.hold("host"):
        pass


async def test_a_place_that_becomes_free_is_taken_by_who_waits() -> None:
    places = DecodingPlaces(1, 5.0)
    taken = asyncio.Event()

    async def wait() -> None:
        async with places.hold("other"):
            taken.set()

    async with places.hold("host"):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        assert not taken.is_set()
    await waiting


async def test_one_client_with_a_name_leaves_room_for_the_next() -> None:
    places = DecodingPlaces(12, 0.01)
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(places.hold("=greedy"))
        with pytest.raises(CapacityError):
            await asyncio.gather(*(stack.enter_async_context(places.hold("=greedy")) for _ in range(4)))
        await stack.enter_async_context(places.hold("=modest"))


async def test_who_gives_up_while_waiting_holds_nothing() -> None:
    places = DecodingPlaces(1, 5.0)
    async with places.hold("a"):
        waiting = asyncio.create_task(places.hold("b").__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), places.hold("c"):
        pass
