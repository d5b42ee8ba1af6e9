"""Keeps a daemon's port open for who has business there: closes connections that are too many, too silent or too old.

gRPC only knows a number of connections in all, and closes whoever comes when that is reached: strangers that come first
would keep everybody out. So that number is set well above the working limit, and this decides which ones stay
(`common/connection_limits.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from common.accepted_sockets import Accepted, AcceptedSockets, Peer, peer_of
from common.call_rates import CallRates
from common.connection_limits import Connection, ConnectionLimits, excess
from common.memory import give_back

log = logging.getLogger("eventspec.access")

_LOOK_S, _CROWDED_LOOK_S = 0.25, 0.05
_LOG_EVERY_S = 10.0
_CHECKS_PER_S = 5.0  # of one stranger's connection: who watches over a daemon's health needs less
_CROWD, _QUIET_S = 64, 2.0  # that many fewer, or calls on them, than there were, for so long: their memory can go


class ConnectionWarden:
    """Lives on one event loop.

    Attributes:
        closed: connections that had to go so far.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        sockets: AcceptedSockets | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._sockets = sockets or AcceptedSockets()
        self._clock = clock
        self._connections: dict[Peer, Connection] = {}
        self._inodes: dict[Peer, int] = {}
        self._rates = CallRates(limits.calls_per_s)
        self._hosts = CallRates(limits.stranger_calls_per_s)
        self._strangers = CallRates(_CHECKS_PER_S)
        self._looking: asyncio.Task[None] | None = None
        self._looked = clock()
        self._logged = float("-inf")
        self._told = self._begun = 0
        self.closed = 0

    def __len__(self) -> int:
        return len(self._connections)

    @contextmanager
    def call(self, peer: str, principal: str) -> Iterator[None]:
        """A call on a peer's connection, for as long as the block runs; `principal`: whose, empty: a stranger's."""
        key = peer_of(peer)
        if key is None:  # a unix socket's, which the file system guards
            yield
            return
        connection = self._connection(key)
        if principal:
            connection.principal, connection.refused = principal, 0
            connection.flooding = connection.flooding or self._rates.over(principal, self._clock())
        elif not connection.principal:
            host, own = self._hosts.over(key[0], self._clock()), self._strangers.over(str(key), self._clock())
            connection.flooding = connection.flooding or (host and own)
        connection.running += 1
        self._begun += 1
        connection.used = self._clock()
        try:
            yield
        finally:
            connection.running -= 1
            connection.used = self._clock()

    def refused(self, peer: str) -> None:
        """A call on a peer's connection was refused."""
        if (key := peer_of(peer)) is not None:
            self._connection(key).refused += 1
            self._begun += 1

    def _connection(self, key: Peer) -> Connection:
        if key not in self._connections:
            self._connections[key] = Connection(key, self._clock())
        return self._connections[key]

    def start(self, *ports: int) -> None:
        """Begin to look after the connections to these ports."""
        if not self._sockets.supported:
            log.warning("this system doesn't list a process's descriptors: connections aren't told apart")
            return
        for port in ports:
            self._sockets.add_port(port)
        self._looking = asyncio.create_task(self._look_on())

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_on(self) -> None:
        most, quiet = 0, 0.0
        while True:
            closed = 0
            with suppress(OSError):  # no descriptor is left to read the list with: others will be
                closed = self.look()
            pause = _CROWDED_LOOK_S if closed else _LOOK_S
            size, self._begun = self._size(), 0
            most = max(most, size)
            quiet = quiet + pause if most - size >= _CROWD and not closed else 0.0
            if quiet >= _QUIET_S:
                most, quiet = size, 0.0
                await asyncio.to_thread(give_back)
            await asyncio.sleep(pause)

    def _size(self) -> int:
        """Connections and calls on them, also those that began and ended since the last look: what takes memory."""
        return len(self) + self._begun + sum(connection.running for connection in self._connections.values())

    def look(self) -> int:
        """Close what has to go; returns how many."""
        now, sockets = self._clock(), {accepted.peer: accepted for accepted in self._sockets.look()}
        self._keep_up(sockets, now)
        gone = excess((self._connections[peer] for peer in sockets), self._limits, now)
        for connection in gone:
            connection.closing = True
            self._sockets.shut(sockets[connection.peer])
        self._looked = now
        self.closed += len(gone)
        self._tell(now)
        return len(gone)

    def _keep_up(self, sockets: dict[Peer, Accepted], now: float) -> None:
        """Connections are those that there are sockets of."""
        for peer, accepted in sockets.items():
            known = self._connections.get(peer)
            another = self._inodes.get(peer, accepted.inode) != accepted.inode
            if known is None or (another and (known.used or 0.0) < self._looked and not known.running):
                self._connections[peer] = Connection(peer, now)
        for peer in [p for p, c in self._connections.items() if p not in sockets and not c.running]:
            del self._connections[peer]
        self._inodes = {peer: accepted.inode for peer, accepted in sockets.items()}

    def _tell(self, now: float) -> None:
        if self.closed > self._told and now - self._logged >= _LOG_EVERY_S:
            log.warning("closed %d connections that were silent or too many", self.closed - self._told)
            self._logged, self._told = now, self.closed
