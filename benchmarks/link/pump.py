"""Moves packets: reads them from devices, asks their direction's queue when they arrive, and writes them then.

The only place with a clock. What is due within the last stretch is waited for awake, as timers come late.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.link.packets import PacketQueue

_AWAKE_S = 100e-6
_CROWD = 8  # packets under way at which a few dozen microseconds no longer matter, and waiting awake would cost much
_BATCH = 64
_LARGEST = 2048  # bytes; a packet has at most 1500
_LATE_S = 1e-3


@dataclass(slots=True)
class Way:
    """One direction: from a device, through a queue, to a device (which may be the same)."""

    source: int
    target: int
    queue: PacketQueue
    due: deque[tuple[float, bytes]] = field(default_factory=deque)
    delivered: int = 0
    late: int = 0
    latest_s: float = 0.0
    cut_until: float = 0.0  # by the machine's monotonic clock: what comes before is dropped

    def take(self, clock: Callable[[], float]) -> None:
        """Read what is there, up to a batch."""
        for _ in range(_BATCH):
            try:
                packet = os.read(self.source, _LARGEST)
            except OSError:  # nothing there (any more), or the device is down
                return
            if self.cut_until and time.monotonic() < self.cut_until:
                continue
            arrival = self.queue.push(len(packet), clock())
            if arrival is not None:
                self.due.append((arrival, packet))

    def deliver(self, now: float) -> None:
        """Write what is due."""
        due = self.due
        while due and due[0][0] <= now:
            arrival, packet = due.popleft()
            try:
                os.write(self.target, packet)
            except OSError:  # the device is down, or the kernel won't have the packet
                continue
            self.delivered += 1
            if now - arrival > _LATE_S:
                self.late += 1
                self.latest_s = max(self.latest_s, now - arrival)

    def statistics(self) -> dict[str, float]:
        """What happened so far; `late` packets were written over 1 ms after their time."""
        counts = self.queue.counts
        return {
            "sent": counts.sent,
            "lost": counts.lost,
            "dropped": counts.dropped,
            "delivered": self.delivered,
            "late": self.late,
            "latest_ms": round(self.latest_s * 1e3, 3),
        }


def pump(ways: Sequence[Way], control: int | None, on_control: Callable[[], bool]) -> None:
    """Move packets until `on_control`, called when the descriptor `control` can be read, returns False."""
    begin = time.monotonic()

    def clock() -> float:
        return time.monotonic() - begin

    by_source = {way.source: way for way in ways}
    watched = [*by_source, *([control] if control is not None else [])]
    while True:
        now = clock()
        for way in ways:
            way.deliver(now)
        readable, _, _ = select.select(watched, (), (), _patience(ways, clock()))
        for descriptor in readable:
            if descriptor in by_source:
                by_source[descriptor].take(clock)
            elif not on_control():
                return


def _patience(ways: Sequence[Way], now: float) -> float | None:
    """How long to sleep before the next packet is due; None: until a packet comes."""
    following = min((way.due[0][0] for way in ways if way.due), default=None)
    if following is None:
        return None
    crowded = any(len(way.due) > _CROWD for way in ways)
    return max(0.0, following - now - (0.0 if crowded else _AWAKE_S))
