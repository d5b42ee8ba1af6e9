"""Turns at something that only a few can use at a time (decoding threads): the client that has had least goes first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cloud.shares import Shares


@dataclass(eq=False)
class _Turn:
    client: str
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FairTurns:
    """`places` at a time; each turn is charged with the time that it takes. Lives on one event loop."""

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic, *, fair: bool = True) -> None:
        self._fair = fair  # False: first come, first served
        self._free = places
        self._clock = clock
        self._shares = Shares()
        self._waiting: list[_Turn] = []

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """A turn for a client, as soon as it is due."""
        client = client if self._fair else ""
        turn = _Turn(client)
        self._waiting.append(turn)
        self._grant()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.granted.cancelled():
                self._end()
            raise
        began = self._clock()
        try:
            yield
        finally:
            self._shares.charge(client, self._clock() - began)
            self._end()

    def _end(self) -> None:
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free and (turn := self._shares.first(self._waiting)) is not None:
            self._waiting.remove(turn)
            if not turn.granted.done():  # else it has been given up, and doesn't know it yet
                self._free -= 1
                turn.granted.set_result(None)
