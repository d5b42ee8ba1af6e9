"""What of a video has come and isn't decoded yet. No torch, no gRPC, no protobuf."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

_ROOM = 8 << 20  # bytes; who sends more waits until some are decoded
_ITEM = 256  # bytes that a packet or a piece takes besides its own


def cost(size: int, items: int) -> int:
    """Bytes that a message of `size` bytes is charged with, if so many packets or pieces are in it."""
    return size + _ITEM * items


class Backlog:
    """Batches of packets between a stream's reader and its decoding, a task of its own; some megabytes at most."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._size = 0
        self._ended = self._dead = False
        self._batches: deque[tuple[tuple[Any, ...], int]] = deque()
        self._changed = asyncio.Condition()
        self._worker: asyncio.Task[None] | None = None

    def start(self, decoding: Coroutine[Any, Any, None]) -> None:
        """Begin to decode; `decoding` iterates over this."""
        self._worker = asyncio.create_task(self._run(decoding))

    async def _run(self, decoding: Coroutine[Any, Any, None]) -> None:
        try:
            await decoding
        finally:
            async with self._changed:
                self._dead = True
                self._changed.notify_all()

    async def put(self, items: tuple[Any, ...], size: int) -> None:
        """Add a batch, charged with so many bytes (`cost`); waits for room."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._dead or self._size == 0 or self._size + size <= self._room)
            self._size += size
            self._batches.append((items, size))
            self._changed.notify_all()

    async def finish(self) -> None:
        """Nothing follows: wait until all is decoded. Raises what the decoding raised."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._worker is not None:
            await self._worker

    async def stop(self) -> None:
        """End the decoding, wherever it is."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[tuple[Any, ...]]:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._batches or self._ended)
                if not self._batches:
                    return
                items, size = self._batches.popleft()
                self._size -= size
                self._changed.notify_all()
            yield items

    async def reading(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The requests, for as long as the decoding goes on; raises at once what that raises."""
        incoming = aiter(requests)
        while True:
            following = asyncio.ensure_future(_next(incoming))
            try:
                if self._worker is not None:
                    await asyncio.wait({following, self._worker}, return_when=asyncio.FIRST_COMPLETED)
                    if self._worker.done() and not following.done():
                        self._worker.result()
                data = await following
            finally:
                following.cancel()
            if data is None:
                return
            yield data


async def _next(incoming: AsyncIterator[bytes]) -> bytes | None:
    """The next request; None at the end."""
    return await anext(incoming, None)
