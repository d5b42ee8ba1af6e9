"""Lines: what takes a packet's bytes, one after the other, at a rate or at a trace's opportunities. Pure: no clock.

Times are in seconds since the link's start, and never fall from one call to the next.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

from benchmarks.link.profile import Outage
from benchmarks.link.trace import OPPORTUNITY_BYTES, Trace


class Line(Protocol):
    """Serialises packets in the order of the calls."""

    def finish(self, length: int, now: float) -> float:
        """When the last byte of a packet of `length` bytes, handed over at `now`, has left."""


class RateLine:
    """A constant rate, interrupted by outages: what is on the line then goes on afterwards."""

    def __init__(self, mbps: float, outages: Sequence[Outage] = ()) -> None:
        self._seconds_per_byte = 8e-6 / mbps
        self._outages = outages
        self._busy = 0.0

    def finish(self, length: int, now: float) -> float:
        start = self._busy if self._busy > now else now
        work = length * self._seconds_per_byte
        self._busy = work_until(start, work, self._outages) if self._outages else start + work
        return self._busy


class TraceLine:
    """Opportunities of 1500 bytes. What one can't take goes into the next; one that finds nothing is lost."""

    def __init__(self, trace: Trace, outages: Sequence[Outage] = ()) -> None:
        self._times = trace.times_ms
        self._period = trace.period_ms
        self._outages = outages
        self._round = 0
        self._index = -1
        self._room = 0
        self._at = 0.0

    def finish(self, length: int, now: float) -> float:
        if self._at < now or self._index < 0:
            self._seek(now)
        while length > self._room:
            length -= self._room
            self._next()
        self._room -= length
        return self._at

    def _seek(self, now: float) -> None:
        """The first opportunity at `now` or later, unless the current one is later."""
        rounds, rest = divmod(now * 1e3, self._period)
        self._round, self._index = int(rounds), bisect_left(self._times, rest) - 1
        self._next()

    def _next(self) -> None:
        while True:
            self._index += 1
            if self._index == len(self._times):
                self._index, self._round = 0, self._round + 1
            self._at = (self._round * self._period + self._times[self._index]) / 1e3
            if not any(window_at(outage, self._at)[0] <= self._at for outage in self._outages):
                break
        self._room = OPPORTUNITY_BYTES


def window_at(outage: Outage, now: float) -> tuple[float, float]:
    """Begin and end of the outage's first window that ends after `now`; both infinite if there is none."""
    start, end = outage.start_s, outage.start_s + outage.duration_s
    if end > now:
        return start, end
    if outage.every_s is None:
        return float("inf"), float("inf")
    turns = int((now - end) // outage.every_s + 1)
    if end + turns * outage.every_s <= now:  # rounding
        turns += 1
    return start + turns * outage.every_s, end + turns * outage.every_s


def work_until(start: float, work: float, outages: Sequence[Outage]) -> float:
    """When `work` seconds of work, begun at `start`, are done if none is done in outages."""
    now = start
    while True:
        begin, end = min(window_at(outage, now) for outage in outages)
        if now + work <= begin:
            return now + work
        if begin > now:
            work -= begin - now
        now = end
