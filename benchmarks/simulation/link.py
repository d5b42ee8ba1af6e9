"""A link in virtual time: one queue a direction, shared by all connections; messages on streams, videos through TCP.

What TCP does to a video is approximated: slow start from ten segments, doubled each round trip, again after an idle
time; the window stops growing where rate and queue are full. A lost packet costs a retransmission and a third of the
window. `docs/simulation.md` says what is left out.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.link.profile import LinkProfile, Outage
from benchmarks.simulation.timeline import Call, Timeline

SEGMENT = 1448  # bytes of TCP payload a packet of 1500
HEADERS = 52  # IP, TCP with timestamps
FRAMING = 14  # gRPC's prefix and HTTP/2's frame header, a message
_FIRST_WINDOW = 10 * SEGMENT
_LARGEST_CHUNK = 32 << 10
_RTO_FLOOR = 0.2
_MOST_WINDOW = 4 << 20


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """A link, in seconds and bytes; infinite rates are no limit.

    `rtt` varies by `jitter` up and down, `loss` is a fraction, each direction has a queue.
    """

    rtt: float = 0.0
    uplink: float = math.inf
    downlink: float = math.inf
    jitter: float = 0.0
    loss: float = 0.0
    uplink_queue: float = 1e6
    downlink_queue: float = 1e6
    outages: tuple[Outage, ...] = ()

    @classmethod
    def of(cls, profile: LinkProfile | None) -> LinkFigures:
        """Of a profile; None is the loopback. Traces count by their mean rates."""
        if profile is None:
            return cls()
        return cls(
            rtt=profile.rtt_ms / 1e3,
            uplink=profile.uplink_mbps * 125e3,
            downlink=profile.downlink_mbps * 125e3,
            jitter=profile.jitter_ms / 1e3,
            loss=profile.loss_pct / 100,
            uplink_queue=profile.queue_bytes(profile.uplink_mbps),
            downlink_queue=profile.queue_bytes(profile.downlink_mbps),
            outages=profile.outages,
        )


def wire_bytes(payload: int) -> int:
    """Bytes on the wire of one message of `payload` bytes."""
    framed = payload + FRAMING
    return framed + HEADERS * math.ceil(framed / SEGMENT)


class Pipe:
    """One direction: packets leave one after another at its rate, and arrive half a round trip later."""

    def __init__(self, timeline: Timeline, figures: LinkFigures, rate: float, queue: float, rng: random.Random) -> None:
        self.figures = figures
        self.rate = rate
        self.queue = queue
        self.bytes = 0
        self._timeline = timeline
        self._rng = rng
        self._free_at = 0.0

    def carry(self, size: int) -> float:
        """Put `size` bytes onto the wire; returns when their last bit arrives, in seconds."""
        self.bytes += size
        start = max(self._free_at, self._timeline.now)
        if self.figures.outages:
            start = _after_outages(start, self.figures.outages)
        self._free_at = start + size / self.rate
        jitter = (self._rng.random() - 0.5) * self.figures.jitter if self.figures.jitter else 0.0
        return self._free_at + self.figures.rtt / 2 + jitter

    def lost(self, size: int) -> bool:
        """True if one of the packets of `size` bytes is lost on its way."""
        if not self.figures.loss:
            return False
        packets = math.ceil(size / (SEGMENT + HEADERS))
        return self._rng.random() < 1 - (1 - self.figures.loss) ** packets


def _after_outages(at: float, outages: Sequence[Outage]) -> float:
    """The first moment from `at` on at which the line delivers."""
    for outage in outages:
        since = at - outage.start_s
        if since >= 0 and outage.every_s is not None:
            since %= outage.every_s
        if 0 <= since < outage.duration_s:
            at += outage.duration_s - since
    return at


class MessageStream:
    """Small messages in order, over one direction of a connection of their own."""

    def __init__(self, timeline: Timeline, pipe: Pipe) -> None:
        self._timeline = timeline
        self._pipe = pipe
        self._last = 0.0

    def send(self, payload: int, arrived: Call) -> None:
        """Send `payload` bytes; a lost packet comes two round trips later (tail loss probe) and holds up the rest."""
        size = wire_bytes(payload)
        at = self._pipe.carry(size)
        while self._pipe.lost(size):
            at += max(2 * self._pipe.figures.rtt, 0.01)
        self._last = max(self._last, at)
        self._timeline.at(self._last, arrived)


@dataclass
class _Message:
    size: int
    arrived: Call


class BulkConnection:
    """A TCP connection upward for large messages, with a congestion window; several uploads share it in turn."""

    def __init__(self, timeline: Timeline, pipe: Pipe) -> None:
        self._timeline = timeline
        self._pipe = pipe
        self._window = float(_FIRST_WINDOW)
        self._slow_start = True
        self._unsent = 0
        self._inflight = 0
        self._received = 0.0
        self._expected: deque[_Message] = deque()
        self._last_arrival = 0.0
        self._last_sent = 0.0

    def send(self, sizes: Sequence[int], arrived: Callable[[int], None]) -> None:
        """Send messages of these sizes, one after another; `arrived` gets each one's index when it is whole."""
        for index, payload in enumerate(sizes):
            self._expected.append(_Message(payload + FRAMING, lambda index=index: arrived(index)))  # type: ignore[misc]
            self._unsent += payload + FRAMING
        rtt = self._pipe.figures.rtt
        if not self._inflight and self._timeline.now - self._last_sent > rtt + _RTO_FLOOR:
            self._window, self._slow_start = float(_FIRST_WINDOW), True
        self._go_on()

    @property
    def _limit(self) -> float:
        """Where the window stops growing: rate times round trip and the queue are full, or the socket's buffer is."""
        figures = self._pipe.figures
        full = self._pipe.rate * figures.rtt if figures.rtt else 0.0
        return max(_FIRST_WINDOW, min(_MOST_WINDOW, full + self._pipe.queue))

    def _go_on(self) -> None:
        while self._unsent and self._inflight < self._window:
            share = max(2 * SEGMENT, int(min(self._window / 5, _LARGEST_CHUNK)))
            chunk = int(min(share, self._unsent, max(SEGMENT, self._window - self._inflight)))
            self._unsent -= chunk
            self._inflight += chunk
            self._last_sent = self._timeline.now
            self._send_chunk(chunk)

    def _send_chunk(self, chunk: int) -> None:
        size = chunk + HEADERS * math.ceil(chunk / SEGMENT)
        at = self._pipe.carry(size)
        if self._pipe.lost(size):  # fast retransmission: one more round trip for it and all behind it
            at += max(self._pipe.figures.rtt, 0.01)
            self._window = max(2.0 * SEGMENT, self._window * 0.7)
            self._slow_start = False
        self._last_arrival = max(self._last_arrival, at)
        self._timeline.at(self._last_arrival, lambda: self._arrive(chunk))

    def _arrive(self, chunk: int) -> None:
        self._received += chunk
        self._timeline.after(self._pipe.figures.rtt / 2, lambda: self._acknowledged(chunk))
        while self._expected and self._received >= self._expected[0].size:
            message = self._expected.popleft()
            self._received -= message.size
            message.arrived()

    def _acknowledged(self, chunk: int) -> None:
        self._inflight -= chunk
        grow = chunk if self._slow_start else chunk * SEGMENT / self._window
        self._window = min(self._window + grow, self._limit)
        self._go_on()
