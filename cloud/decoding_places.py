"""Places for videos that are being decoded, each by a child process of its own: bounded in all, and shared by clients.

Lives on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloud.shares import may_hold
from common.errors import CapacityError

_BUSY_MS = 500


class DecodingPlaces:
    """`most` videos at a time; who waits for a place longer than `patience_s` is refused."""

    def __init__(self, most: int, patience_s: float) -> None:
        self._most = most
        self._patience_s = patience_s
        self._held: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, client: str) -> AsyncIterator[None]:
        """A place for a client's video, as long as the block runs.

        Raises:
            CapacityError: there was none for too long.
        """
        try:
            async with asyncio.timeout(self._patience_s), self._changed:
                await self._changed.wait_for(lambda: self._free_for(client))
                self._held[client] += 1
        except TimeoutError:
            raise CapacityError("too many videos are being decoded; end one, or try again later", _BUSY_MS) from None
        try:
            yield
        finally:
            self._held[client] -= 1
            self._held += Counter()  # forgets those who hold none
            await asyncio.shield(self._tell())

    def _free_for(self, client: str) -> bool:
        free = self._most - self._held.total()
        return free > 0 and may_hold(self._held[client], free, 0, named=client.startswith("="))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
