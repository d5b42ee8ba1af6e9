"""Calls that anybody may make (health, reflection, and those that are refused) are few at a time. Pure.

A call of the service itself has limits of its own; these are for calls that cost a stranger nothing to begin, and that
stay for as long as it likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.errors import CapacityError

_LATER_MS = 1_000


@dataclass(frozen=True, slots=True)
class CallLimit:
    """At a time: of one connection, of one host, in all."""

    per_connection: int
    per_host: int
    total: int


class CallLimits:
    """Counts calls by kind."""

    def __init__(self, limits: dict[str, CallLimit]) -> None:
        self._limits = limits
        self._running: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def call(self, kind: str, connection: str, host: str) -> Iterator[None]:
        """A call of a kind, for as long as the block runs.

        Raises:
            CapacityError: there are too many of that kind.
        """
        limit = self._limits[kind]
        keys = [(kind, f"connection {connection}"), (kind, f"host {host}"), (kind, "")]
        most = [limit.per_connection, limit.per_host, limit.total]
        for key, bound, whose in zip(keys, most, ("this connection", "this host", "this daemon"), strict=True):
            if self._running[key] >= bound:
                raise CapacityError(f"{bound} {kind} of {whose} are running: end one first", _LATER_MS)
        self._running.update(keys)
        try:
            yield
        finally:
            self._running.subtract(keys)
            for key in keys:
                if not self._running[key]:
                    del self._running[key]
