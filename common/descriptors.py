"""How many files and connections this process may have open."""

from __future__ import annotations

import resource

WANTED = 65_536
_RESERVED = 512  # of them for everything that isn't a connection of the port
_ROOM = 2  # connections that gRPC takes, for each that may stay: the rest is there until the daemon looks


def taken(connections: int) -> int:
    """Connections that gRPC may take where so many may stay."""
    return _ROOM * connections


def needed(connections: int) -> int:
    """Open files of a daemon where so many connections may stay."""
    return _RESERVED + taken(connections)


def enough_for(limit: int) -> int:
    """Connections that may stay with a limit of open files."""
    return max(16, (limit - _RESERVED) // _ROOM)


def limits() -> tuple[int, int]:
    """The limit now, and the highest that it may be raised to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _finite(soft), _finite(hard)


def _finite(limit: int) -> int:
    return WANTED if limit == resource.RLIM_INFINITY else limit


def raise_limit(wanted: int = WANTED) -> int:
    """Raise this process's limit as far as may be, to `wanted`; returns what it is then. Never lowers it."""
    soft, hard = limits()
    if soft < wanted and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return limits()[0]
