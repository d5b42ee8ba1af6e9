"""Fairness between clients: who has had least of the target's work goes first. Pure; tokens are the measure.

Start-time fair queueing (Goyal, Vin, Cheng, 1996) with equal weights: every client has a virtual time, the tokens that
were fed for it; the least one goes first. Who comes anew, or again, begins where the least busy one stands: nobody
saves up a right to push all others aside, and nobody gets rid of what he had by going away for a moment.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar


class Waiting(Protocol):
    """Something that waits for the target."""

    @property
    def client(self) -> str:
        """Whose it is."""


W = TypeVar("W", bound=Waiting)


@dataclass
class Shares:
    """What each client has had, in tokens, as virtual times."""

    _served: dict[str, float] = field(default_factory=dict)

    def turns(self, due: Iterable[tuple[float, W]]) -> Iterator[W]:
        """What is due, by (time, item), client by client; `charge` what is chosen before asking for the next."""
        queues: dict[str, deque[tuple[float, W]]] = {}
        for at, item in sorted(due, key=lambda pair: pair[0]):
            queues.setdefault(item.client, deque()).append((at, item))
        self._enter(queues)
        heap = [(self._served[client], queue[0][0], client) for client, queue in queues.items()]
        heapq.heapify(heap)
        while heap:
            client = heapq.heappop(heap)[2]
            yield queues[client].popleft()[1]
            if queues[client]:
                heapq.heappush(heap, (self._served[client], queues[client][0][0], client))

    def first(self, waiting: Iterable[W]) -> W | None:
        """The one of what waits whose client has had least; None if nothing waits."""
        return next(self.turns((0.0, item) for item in waiting), None)

    def charge(self, client: str, tokens: float) -> None:
        """So much was done for a client."""
        self._served[client] = self._served.get(client, 0.0) + tokens

    def _enter(self, clients: Iterable[str]) -> None:
        """These have work now: newcomers begin where the least busy stands. Who is away and caught up is forgotten."""
        known = [self._served[client] for client in clients if client in self._served]
        floor = min(known, default=max(self._served.values(), default=0.0))
        for client in clients:
            self._served[client] = max(self._served.get(client, floor), floor)
        self._served = {c: s for c, s in self._served.items() if c in clients or s > floor}


def may_hold(own: int, free: int, limit: int, *, named: bool) -> bool:
    """Whether a client that holds `own` sessions may have one of the `free` places too.

    With a `limit` that is what counts. Without one, a client that is known by name may hold four times as many as are
    free (dynamic thresholds; Choudhury and Hahne, 1998): alone it can take most of the cloud, but never all of it, and
    the more take, the more each leaves. Nameless clients can't be told apart, so they aren't held back.
    """
    if limit:
        return own < limit
    return not named or own < 4 * free or (own == 0 and free > 0)
