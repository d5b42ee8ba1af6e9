"""One gRPC channel to a cloud that finds a dead line within two seconds, and is back soon after the line is.

Keepalive pings find a line that swallows everything: TCP alone would take minutes. While there is no connection,
attempts are begun one after another, without giving the earlier ones up (RFC 8305 races addresses so): after an outage
the next SYN is never far, and on a line with a long round trip a slow handshake still has its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from common.errors import LinkError

_READY = grpc.ChannelConnectivity.READY
_BETWEEN_S = 0.4  # attempts to connect
_RACING = 6  # attempts at a time; the oldest is given up
_LOOK_S = 0.02
_SHORTEST_LIFE_S = 1.0  # of a connection attempt, before a caller is told that there is none


def watchful(options: list[tuple[str, Any]], *, quiet_s: float, answer_s: float) -> list[tuple[str, Any]]:
    """Channel options by which a connection without a byte for `quiet_s`, and then none for `answer_s`, is dead."""
    changed = {
        "grpc.keepalive_time_ms": round(quiet_s * 1e3),
        "grpc.keepalive_timeout_ms": round(answer_s * 1e3),
        "grpc.keepalive_permit_without_calls": 0,
        "grpc.http2.min_ping_interval_without_data_ms": round(quiet_s * 1e3),
        # without a pool of its own, gRPC would put all channels onto one TCP connection
        "grpc.use_local_subchannel_pool": 1,
    }
    return [*((name, value) for name, value in options if name not in changed), *changed.items()]


class Channel:
    """A channel that is replaced by a new one as soon as that has a connection and this one hasn't."""

    def __init__(self, make: Callable[[], grpc.aio.Channel], clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._current = make()
        self._connecting: asyncio.Task[bool] | None = None

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
            self._connecting = asyncio.create_task(self._race())
        try:
            ready = await asyncio.wait_for(asyncio.shield(self._connecting), patience_s)
        except TimeoutError:
            ready = False
        if not ready:
            raise LinkError("no connection: the cloud doesn't answer")

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
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._current.close()
