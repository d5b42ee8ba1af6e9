"""One gRPC channel to a cloud that finds a dead line within three seconds, and is back soon after the line is.

Who waits on the channel in silence lets it ask the cloud for a sign of life (`check`): a line that swallows everything
shows itself in no other way soon, for TCP would take minutes. While there is no connection, attempts are begun one
after another, without giving the earlier ones up (RFC 8305 races addresses so): after an outage the next SYN is never
far, and on a line with a long round trip a slow handshake still has its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio

from common.errors import LinkError

T = TypeVar("T")
_READY = grpc.ChannelConnectivity.READY
_BETWEEN_S = 0.4  # attempts to connect
_RACING = 6  # attempts at a time; the oldest is given up
_LOOK_S = 0.02
_ANSWER_S = 1.5  # to wait for a sign of life, and so many round trips
_TRIPS = 4
_DOUBLINGS = 3
_RETIRED_S = 60.0
_SHORTEST_LIFE_S = 1.0  # of a connection attempt, before a caller is told that there is none


class Channel:
    """A channel that is replaced by a new one as soon as that has a connection and this one hasn't.

    `ask` asks the cloud for a sign of life over a channel, and raises LinkError if none comes within the seconds given.
    """

    def __init__(
        self,
        make: Callable[[], grpc.aio.Channel],
        ask: Callable[[grpc.aio.Channel, float], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._ask = ask
        self._clock = clock
        self._current = make()
        self._connecting: asyncio.Task[bool] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._retired: dict[grpc.aio.Channel, asyncio.Task[None]] = {}
        self._in_vain = 0  # questions in a row that nobody answered
        self._trip_s = 0.0  # the quickest sign of life so far

    @property
    def current(self) -> grpc.aio.Channel:
        """For calls."""
        return self._current

    async def connected(self, patience_s: float = _SHORTEST_LIFE_S) -> None:
        """Until there is a connection.

        Raises:
            LinkError: there is none within `patience_s` seconds; attempts go on, and another call joins them.
        """
        if self._current.get_state(try_to_connect=True) is _READY:
            return
        if self._connecting is None or self._connecting.done():
            self._connecting = quietly(self._race())
        try:
            ready = await asyncio.wait_for(asyncio.shield(self._connecting), patience_s)
        except TimeoutError:
            ready = False
        if not ready:
            raise LinkError("no connection: the cloud doesn't answer")

    async def check(self, patience_s: float = _ANSWER_S) -> None:
        """Whether the line is alive; all who ask at the same time share one question.

        Raises:
            LinkError: no sign of life came in time; the connection is given up, and with it every call on it.
        """
        if self._checking is None or self._checking.done():
            self._checking = quietly(self._check(patience_s))
        await asyncio.shield(self._checking)

    async def _check(self, patience_s: float) -> None:
        asked, began = self._current, self._clock()
        try:
            # a cloud that is found dead again and again is a slow one: each time it gets longer
            await self._ask(asked, (patience_s + _TRIPS * self._trip_s) * 2 ** min(self._in_vain, _DOUBLINGS))
        except LinkError:
            self._in_vain += 1
            await self.give_up(asked)
            raise
        took, self._in_vain = self._clock() - began, 0
        self._trip_s = min(took, self._trip_s) if self._trip_s else took

    def answered(self, took_s: float) -> None:
        """A call on the current connection had its first answer: a cloud that is as quick as that isn't a slow one."""
        if took_s < _ANSWER_S:
            self._in_vain = 0

    async def give_up(self, channel: grpc.aio.Channel) -> None:
        """End a channel, and every call on it; if it is the current one, the next call begins with a new one."""
        if self._current is channel:
            self._current = self._make()
        await channel.close()

    def retire(self, channel: grpc.aio.Channel) -> None:
        """What was heard over a channel makes its connection suspect: new calls go elsewhere, those on it may end."""
        if self._current is channel:
            self._current = self._make()
            self._retired[channel] = closing = quietly(channel.close(grace=_RETIRED_S))
            closing.add_done_callback(lambda _: self._retired.pop(channel, None))

    async def _race(self) -> bool:
        """Attempts, each a channel of its own, until one is through; None of them after ten seconds."""
        racing, began = [self._current], self._clock()
        newest = began
        while self._clock() - began < 10.0:
            for channel in racing:
                if channel.get_state(try_to_connect=True) is _READY:
                    self._current = channel
                    await self._close([c for c in racing if c is not channel])
                    return True
            if self._clock() - newest >= _BETWEEN_S:
                newest = self._clock()
                racing.append(self._make())
                if len(racing) > _RACING:
                    await self._close([racing.pop(1)])
            await asyncio.sleep(_LOOK_S)
        await self._close(racing[1:])
        return False

    @staticmethod
    async def _close(channels: list[grpc.aio.Channel]) -> None:
        for channel in channels:
            await channel.close()

    async def close(self) -> None:
        """Let go of it, and of attempts under way."""
        for channel in list(self._retired):
            await channel.close()
        for task in (self._connecting, self._checking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._current.close()


def quietly(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task whose error is nobody's business if nobody waits for it any more."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)
    return task
