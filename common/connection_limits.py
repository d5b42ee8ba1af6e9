"""Which connections of a daemon's port have to go, so that there is always room for who has business here. Pure.

A connection is *known* once a call on it was let in: by its token, its certificate, or, where neither is asked for, by
being a call of the service and no health check. All others are strangers', whatever they send: those that make no call
go after a while, and of the rest the oldest, where one host or all hosts together have too many. Known ones never go
because of strangers, only because of their own principal's number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, and for how long.

    Attributes:
        total: known ones and strangers'.
        strangers: of all hosts, at most: the rest is kept for known ones.
        strangers_per_host: of one host, at most.
        per_principal: known ones of one principal, at most.
        silent_s: until a connection must have made a call.
        pause_s: between a stranger's calls: who checks a daemon's health does it once a minute, if not more often.
        stranger_age_s: until a stranger has to connect anew.
        settling_s: a connection that is younger isn't one too many of its host: its first call is on its way.
        refusals: calls that were refused on a connection, with none let in between, after which it goes.
        idle_s: after which a known connection without calls is closed, in a way that costs its peer one connect.
        calls_per_s: that one principal may begin; a connection on which it begins more is closed.
        stranger_calls_per_s: that strangers of one host may begin (health checks); over it, those connections are
            closed that begin more than a few a second themselves.
    """

    total: int = 1024
    strangers: int = 768
    strangers_per_host: int = 128
    per_principal: int = 256
    silent_s: float = 15.0
    pause_s: float = 120.0
    stranger_age_s: float = 3_600.0
    settling_s: float = 1.0
    refusals: int = 64
    idle_s: float = 1_800.0
    calls_per_s: float = 400.0
    stranger_calls_per_s: float = 200.0

    @classmethod
    def of(cls, total: int) -> ConnectionLimits:
        """The usual shares of a total."""
        return cls(total, max(1, total * 3 // 4), max(1, total // 8), max(1, total // 4))


@dataclass(slots=True)
class Connection:
    """One connection.

    Attributes:
        peer: its other end: host and port.
        since: when it was first seen.
        used: when a call on it last began or ended.
        principal: whose it is; empty: a stranger's.
        running: calls at the moment.
        refused: calls that were refused since the last one that was let in.
        flooding: more calls were begun on it than its principal may.
        closing: it was told to go.
    """

    peer: tuple[str, int]
    since: float
    used: float | None = None
    principal: str = ""
    running: int = 0
    refused: int = 0
    flooding: bool = False
    closing: bool = False


def excess(connections: Iterable[Connection], limits: ConnectionLimits, now: float) -> list[Connection]:
    """The connections that have to go. Those that are closing don't count any more."""
    known: list[Connection] = []
    strangers: list[Connection] = []
    flooding: list[Connection] = []
    for connection in connections:
        if connection.closing:
            continue
        if connection.flooding:
            flooding.append(connection)
            continue
        trusted = connection.principal and connection.refused <= limits.refusals
        (known if trusted else strangers).append(connection)
    gone = _known_excess(known, limits)
    room = max(min(limits.strangers, limits.total - len(known) + len(gone)), limits.strangers_per_host)
    return flooding + gone + _strangers_excess(strangers, limits, room, now)


def _known_excess(known: Sequence[Connection], limits: ConnectionLimits) -> list[Connection]:
    """Of each principal that has too many, then of those that have most: idle ones first, the longest unused first."""
    counts = Counter(connection.principal for connection in known)
    gone: list[Connection] = []
    over = len(known) - limits.total
    if over <= 0 and max(counts.values(), default=0) <= limits.per_principal:
        return gone
    for connection in sorted(known, key=_worth):
        count = counts[connection.principal]
        if count > limits.per_principal:
            counts[connection.principal] -= 1
            gone.append(connection)
            over -= 1
    if over > 0:
        gone += _of_the_greediest(known, gone, counts, over)
    return gone


def _of_the_greediest(
    known: Sequence[Connection], gone: Sequence[Connection], counts: Counter[str], over: int
) -> list[Connection]:
    """So many connections more, each of the principal that has most of them at that moment."""
    leaving = {id(connection) for connection in gone}
    of: dict[str, list[Connection]] = {}
    for connection in sorted(known, key=_worth, reverse=True):
        if id(connection) not in leaving:
            of.setdefault(connection.principal, []).append(connection)
    more = []
    for _ in range(over):
        principal = max(counts, key=counts.__getitem__)
        counts[principal] -= 1
        more.append(of[principal].pop())
    return more


def _strangers_excess(
    strangers: Sequence[Connection], limits: ConnectionLimits, room: int, now: float
) -> list[Connection]:
    gone: list[Connection] = []
    staying: list[Connection] = []
    for connection in strangers:
        (gone if _overdue(connection, limits, now) else staying).append(connection)
    per_host = Counter(connection.peer[0] for connection in staying)
    left = len(staying)
    for connection in sorted(staying, key=lambda one: (now - one.since < limits.settling_s, *_worth(one))):
        settled = now - connection.since >= limits.settling_s
        if left > room or (settled and per_host[connection.peer[0]] > limits.strangers_per_host):
            gone.append(connection)
            per_host[connection.peer[0]] -= 1
            left -= 1
    return gone


def _overdue(connection: Connection, limits: ConnectionLimits, now: float) -> bool:
    if connection.used is None:
        silent = now - connection.since > limits.silent_s
    else:
        silent = not connection.running and now - connection.used > limits.pause_s
    return silent or now - connection.since > limits.stranger_age_s or connection.refused > limits.refusals


def _worth(connection: Connection) -> tuple[bool, float]:
    """Sorts those first that are missed least: without a call running, and the longest unused."""
    return connection.running > 0, connection.since if connection.used is None else connection.used
