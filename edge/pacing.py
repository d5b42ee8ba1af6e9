"""How much video may be under way, so that drafts find short queues. Pure: times come in as arguments, in seconds.

Drafts have a connection of their own, but both share the line, and a TCP that fills the line's queue with video makes
every draft wait behind it. So the cloud acknowledges the video's messages, and the bytes without an acknowledgement
stay within a window that leaves a queue of a few milliseconds on the line: the line is kept busy, and a draft passes.

The law is that of FAST TCP (Wei, Jin, Low, Hegde 2006): w <- w + g (w (base + target) / (base + queue) - w), once a
round trip, with the smallest round trip of the last half minute as base. It begins as TCP does, by doubling, and leaves
that when a queue shows, like LEDBAT++ (Balasubramanian, Ertugay, Havey 2020).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_WINDOW = 16 << 10  # about what TCP begins with
_LEAST, _MOST = 4 << 10, 64 << 20
_TARGET_S = 0.008  # queue to be left on the line
_AWAITED_S = 0.025  # the same while somebody waits for a video to be up: more of a queue, and never an idle line
_FRAGMENT = 0.7  # of that, a message's time on the line
_SMALLEST, _LARGEST = 1_400, 64 << 10
_LEAST_FRAGMENTS = 2.5  # of the smallest kind, that the target has room for on a slow line
_GAIN, _GROWTH, _SHRINK = 0.5, 1.25, 0.7  # a round trip's change: share of the way, at most, at least
_HUNGER = 0.02  # more growth with every round without a queue from the fourth on: the line has become faster
_SHORT = 0.6  # of the target: a queue that leaves room; a message's own time on the line is in it
_SIGNS = 6  # messages in a row that had to wait
_BASE_S = 15.0  # the base is the least of this stretch and the one before
_UNHEARD_S = 5.0


@dataclass
class VideoInFlight:
    """One stream's messages that have no acknowledgement yet: `(bytes sent up to its end, when)`.

    `awaited`: a question waits for this video. `over`: the call has ended; what is still to be sent goes nowhere.
    `count`: messages so far.
    """

    awaited: bool = False
    over: bool = False
    sent: int = 0
    acknowledged: int = 0
    count: int = 0
    messages: deque[tuple[int, float]] = field(default_factory=deque)


class VideoPacer:
    """One link's window, shared by all videos on it.

    Attributes:
        window: bytes that may be under way.
        in_flight: bytes that are.
        heard: True once a cloud has acknowledged anything: it takes packets in pieces too.
        rate: bytes a second that were acknowledged in the last round trips; None before.
    """

    def __init__(self) -> None:
        self.window = float(FIRST_WINDOW)
        self.in_flight = 0
        self.heard = False
        self.rate: float | None = None
        self._starting = True
        self._growth = 1.0
        self._goal = self.window
        self._hungry = 0
        self._awaited: set[int] = set()  # streams that a question waits for
        self._limited = False
        self._first_sent: float | None = None
        self._base: float | None = None
        self._base_next: float | None = None
        self._base_since = 0.0
        self._round_began = 0.0
        self._round_bytes = 0
        self._trips: list[float] = []

    @property
    def fragment(self) -> int:
        """Bytes that a message should have, at most: a few milliseconds of the line."""
        wanted = self.window if self.rate is None else max(self.rate * self._target * _FRAGMENT, _SMALLEST)
        return int(min(wanted, _LARGEST, max(self.window / 4, _SMALLEST)))

    def may_send(self, size: int, now: float) -> bool:
        """True if a message of that size may go out now. To a cloud that never acknowledges anything, all may."""
        if self.in_flight == 0 or self.in_flight + size <= self.window:
            return True
        self._limited = True
        return not self.heard and self._first_sent is not None and now - self._first_sent > _UNHEARD_S

    def sent(self, stream: VideoInFlight, size: int, now: float) -> None:
        """A message went out; one of a stream that is over doesn't count, for nobody would ever take it back."""
        if stream.over:
            return
        if self._first_sent is None:
            self._first_sent = now
        if stream.awaited:
            self._awaited.add(id(stream))
        stream.sent += size
        stream.messages.append((stream.sent, now))
        self.in_flight += size

    def acknowledged(self, stream: VideoInFlight, received: int, now: float) -> None:
        """The cloud has that many of the stream's bytes."""
        sent_at, before = None, stream.acknowledged
        while stream.messages and stream.messages[0][0] <= received:
            stream.acknowledged, sent_at = stream.messages.popleft()
        if sent_at is None:
            return
        self.heard = True
        fresh = stream.acknowledged - before
        self.in_flight -= fresh
        self._round_bytes += fresh
        if self._growth > 1:  # as acknowledgements come, not at once: a burst would be a queue too
            self.window = min(self._goal, self.window + fresh * (self._growth - 1))
        trip = max(1e-6, now - sent_at)
        self._learn_base(trip, now)
        self._trips.append(trip)
        if sent_at >= self._round_began or self._starting_too_fast:
            self._end_round(now)

    def forget(self, stream: VideoInFlight) -> None:
        """The stream is over; what it had under way never counts."""
        stream.over = True
        self.in_flight -= stream.sent - stream.acknowledged
        stream.acknowledged = stream.sent
        stream.messages.clear()
        self._awaited.discard(id(stream))
        if self.in_flight == 0:  # a pause isn't part of a round
            self._trips, self._round_bytes, self._limited = [], 0, False

    def _learn_base(self, trip: float, now: float) -> None:
        if self._base is None or now - self._base_since > _BASE_S:
            self._base = min(trip, self._base_next) if self._base_next is not None else trip
            self._base_next, self._base_since = None, now
        self._base = min(self._base, trip)
        self._base_next = trip if self._base_next is None else min(self._base_next, trip)

    @property
    def _starting_too_fast(self) -> bool:
        """True at the first sign of a queue, without waiting for the round to end."""
        last = self._trips[-_SIGNS:]
        return self._starting and len(last) == _SIGNS and min(last) - (self._base or 0.0) > _SHORT * self._target

    @property
    def _target(self) -> float:
        wanted = _AWAITED_S if self._awaited else _TARGET_S
        return wanted if self.rate is None else max(wanted, _LEAST_FRAGMENTS * _SMALLEST / self.rate)

    def _end_round(self, now: float) -> None:
        assert self._base is not None
        took, trips = now - self._round_began, sorted(self._trips)
        if self._limited and 0 < took < 10 * trips[-1]:
            measured = self._round_bytes / took
            self.rate = measured if self.rate is None else self.rate + 0.25 * (measured - self.rate)
        queue = trips[len(trips) // 10] - self._base
        change = self._change(queue, self._base)
        # a window that nobody fills says nothing about a larger one
        self._growth = change if self._limited else min(change, 1.0)
        self._goal = min(max(self.window * self._growth, _LEAST), _MOST)
        self.window = min(self.window, self._goal)
        self._round_began, self._round_bytes, self._trips, self._limited = now, 0, [], False

    def _change(self, queue: float, base: float) -> float:
        """The next window over this one, after a round trip in which nine of ten messages waited `queue` seconds."""
        target = self._target
        whole = (base + target) / (base + queue)
        if self._starting:
            self._starting = queue < _SHORT * target
            return 2.0 if self._starting else 0.5  # these messages went out when the window was half of what it is
        self._hungry = self._hungry + 1 if queue < _SHORT * target else 0
        return min(max(1 + _GAIN * (whole - 1) + _HUNGER * max(0, self._hungry - 3), _SHRINK), _GROWTH)
