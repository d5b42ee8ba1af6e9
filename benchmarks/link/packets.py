"""The packet queue of one direction: pushes in, arrival times out. Pure: no clock, no packets, no I/O.

A packet waits for the line (drop-tail: what finds the queue full is dropped), takes its time on it, may get lost, and
is then under way for the one-way delay. Packets never overtake each other.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from benchmarks.link.lines import Line, RateLine, TraceLine
from benchmarks.link.profile import LinkProfile
from benchmarks.link.trace import load_trace

_LARGEST_BLOCK = 20_000.0


class Direction(Enum):
    """Which way packets go."""

    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class Counts:
    """Packets of one direction: taken by the line, lost of those, and dropped before the line."""

    sent: int = 0
    lost: int = 0
    dropped: int = 0


class LossPattern:
    """Which packets get lost: in every block of packets a fixed number, at random places.

    To look at, as if drawn independently; but a run of some thousand packets loses what the profile says, so that two
    runs differ less by luck.
    """

    def __init__(self, probability: float, random_: random.Random) -> None:
        self._probability = probability
        self._random = random_
        self._block = int(min(_LARGEST_BLOCK, max(100.0, 5.0 / probability))) if probability else 1
        self._owed = random_.random()
        self._left: list[bool] = []

    def draw(self) -> bool:
        """Whether the next packet is lost."""
        if not self._probability:
            return False
        if not self._left:
            self._owed += self._block * self._probability
            lost = int(self._owed)
            self._owed -= lost
            self._left = [True] * lost + [False] * (self._block - lost)
            self._random.shuffle(self._left)
        return self._left.pop()


class PacketQueue:
    """One direction of a link.

    Args:
        line: serialises.
        delay_s: one-way delay, on average.
        jitter_s: the delay is uniform within +- this.
        loss: probability, 0 to 1.
        queue_bytes: of packets that haven't left the line; a packet that doesn't fit is dropped.
        seed: of loss and jitter.
    """

    def __init__(
        self, line: Line, *, delay_s: float, jitter_s: float, loss: float, queue_bytes: int, seed: int
    ) -> None:
        self._line = line
        self._delay = delay_s
        self._jitter = jitter_s
        self._limit = queue_bytes
        self._loss = LossPattern(loss, random.Random(seed))
        self._random = random.Random(seed + 1).random
        self._waiting: deque[tuple[float, int]] = deque()
        self._bytes = 0
        self._last_arrival = 0.0
        self.counts = Counts()

    def push(self, length: int, now: float) -> float | None:
        """When a packet of `length` bytes that comes at `now` (seconds) arrives; None if it never does."""
        if self.backlog(now) + length > self._limit:
            self.counts.dropped += 1
            return None
        arrival, lost = self.transmit(length, now)
        return None if lost else arrival

    def backlog(self, now: float) -> int:
        """Bytes that haven't left the line at `now`."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            self._bytes -= waiting.popleft()[1]
        return self._bytes

    def free_at(self, now: float) -> float:
        """When the line has room again for what the queue's limit allows; `now` if it has."""
        excess = self.backlog(now) - self._limit
        for finish, length in self._waiting:
            if excess < 0:
                break
            excess -= length
            now = finish
        return now

    def transmit(self, length: int, now: float) -> tuple[float, bool]:
        """Arrival time and whether the packet is lost, however full the queue is."""
        finish = self._line.finish(length, now)
        self._waiting.append((finish, length))
        self._bytes += length
        self.counts.sent += 1
        lost = self._loss.draw()
        self.counts.lost += lost
        arrival = finish + self._delay
        if self._jitter:
            arrival += self._jitter * (2.0 * self._random() - 1.0)
        if not lost:
            arrival = self._last_arrival = max(arrival, self._last_arrival)
        return arrival, lost


def make_queue(profile: LinkProfile, direction: Direction, seed: int = 0) -> PacketQueue:
    """The queue of one direction of a profile.

    Raises:
        SettingsError: its trace can't be read.
    """
    up = direction is Direction.UP
    mbps = profile.uplink_mbps if up else profile.downlink_mbps
    trace = profile.uplink_trace if up else profile.downlink_trace
    line: Line = TraceLine(load_trace(Path(trace)), profile.outages) if trace else RateLine(mbps, profile.outages)
    return PacketQueue(
        line,
        delay_s=profile.rtt_ms / 2e3,
        jitter_s=profile.jitter_ms / 2e3,
        loss=profile.loss_pct / 100.0,
        queue_bytes=profile.queue_bytes(mbps),
        seed=4 * seed + 2 * up,
    )
