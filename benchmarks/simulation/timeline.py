"""Virtual time: a heap of timed calls. What is due at one moment happens in the order in which it was asked for."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from functools import partial

Call = Callable[[], None]


class Timeline:
    """Now, and what comes. Times in seconds; `events` counts what has happened."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Call]] = []
        self._order = itertools.count()

    def at(self, when: float, what: Call) -> None:
        """Do this at `when`, or now if that is past."""
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), what))

    def after(self, delay: float, what: Call) -> None:
        """Do this `delay` seconds from now."""
        self.at(self.now + delay, what)

    def run(self, until: float) -> bool:
        """Until `until`, or until nothing is left to happen; returns True if nothing is left."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, what = heapq.heappop(heap)
            self.events += 1
            what()
        if heap:
            self.now = max(self.now, until)
        return not heap


class Workers:
    """A pool of equal workers with one queue, first come first served. `busy_s` adds up their work."""

    def __init__(self, timeline: Timeline, count: int) -> None:
        self.busy_s = 0.0
        self._timeline = timeline
        self._free = count
        self._waiting: deque[tuple[float, Call]] = deque()

    @property
    def idle(self) -> bool:
        """Somebody is free, and nothing waits."""
        return self._free > 0 and not self._waiting

    def do(self, seconds: float, then: Call) -> None:
        """Work for so long as soon as a worker is free, and call `then` at the end."""
        self._waiting.append((seconds, then))
        self._begin()

    def _begin(self) -> None:
        while self._free and self._waiting:
            seconds, then = self._waiting.popleft()
            self._free -= 1
            self.busy_s += seconds
            self._timeline.after(seconds, partial(self._end, then))

    def _end(self, then: Call) -> None:
        self._free += 1
        then()
        self._begin()
