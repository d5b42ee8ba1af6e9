"""What one client may do at a time, and how fast. Pure: time is an argument; the service waits and refuses.

Counts are refused at the door, with a hint when to come back; rates are kept by reading more slowly, so that the
network's own flow control slows the sender down and nothing is held here meanwhile. A client with a name of its own
that keeps sending nonsense is refused for a while, twice as long each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.allowance import Allowance
from common.errors import CapacityError

_BUSY_MS = 1_000
_STRIKES_WITHIN_S = 60.0
_FIRST_BAN_S, _LONGEST_BAN_S = 2.0, 60.0
_BURST_S = 1.0
_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Of one client.

    Attributes:
        calls: streams at a time, of answers and of video.
        video_bytes_per_s: of all its videos.
        strikes: refused messages within a minute, after which it has to wait.
    """

    calls: int = 256
    video_bytes_per_s: float = 64 << 20
    strikes: int = 10


@dataclass
class _Client:
    video: Allowance
    calls: int = 0
    strikes: list[float] = field(default_factory=list)
    banned_until: float = float("-inf")
    bans: int = 0

    def idle(self, now: float) -> bool:
        forgiven = now > self.banned_until + _LONGEST_BAN_S
        return self.calls == 0 and forgiven and self.video.full(now)


class Admission:
    """All clients that are here, or were lately."""

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._clients: dict[str, _Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    @contextmanager
    def call(self, client: str, now: float) -> Iterator[None]:
        """A call of a client, for as long as the block runs.

        Raises:
            CapacityError: it has too many, or has to wait for its bad manners; says when to come back.
        """
        known = self._client(client, now)
        if now < known.banned_until:
            left_ms = round((known.banned_until - now) * 1e3) + 1
            raise CapacityError("too many refused messages of this client; it has to wait", left_ms)
        if known.calls >= self._limits.calls:
            raise CapacityError(f"{known.calls} calls of this client are running; end one first", _BUSY_MS)
        known.calls += 1
        try:
            yield
        finally:
            known.calls -= 1

    def video(self, client: str, size: int, now: float) -> float:
        """So many bytes of video came; returns the seconds to wait before more is read."""
        return self._client(client, now).video.take(size, now)

    def strike(self, client: str, now: float) -> None:
        """A message of a client made no sense. Nameless ones can't be told apart, so they aren't punished."""
        if not client.startswith("="):
            return
        known = self._client(client, now)
        known.strikes = [at for at in known.strikes if now - at < _STRIKES_WITHIN_S] + [now]
        if len(known.strikes) >= self._limits.strikes:
            known.banned_until = now + min(_FIRST_BAN_S * 2**known.bans, _LONGEST_BAN_S)
            known.bans = min(known.bans + 1, 16)
            known.strikes = []

    def _client(self, client: str, now: float) -> _Client:
        if client not in self._clients:
            if len(self._clients) >= _KEPT:
                self._clients = {name: known for name, known in self._clients.items() if not known.idle(now)}
            rate = self._limits.video_bytes_per_s
            self._clients[client] = _Client(Allowance(rate, rate * _BURST_S))
        return self._clients[client]
