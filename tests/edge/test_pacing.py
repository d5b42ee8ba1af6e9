"""The window of video under way, against a line with a rate, a delay and a queue, on simulated time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.pacing import FIRST_WINDOW, VideoInFlight, VideoPacer


@dataclass
class Line:
    """A line that takes a message after the other, and the pacer that fills it. Times in seconds, rates in bytes/s."""

    rate: float
    trip: float
    noise: float = 0.0
    now: float = 0.0
    free_at: float = 0.0
    arrived: int = 0
    pacer: VideoPacer = field(default_factory=VideoPacer)
    stream: VideoInFlight = field(default_factory=VideoInFlight)
    queues: list[tuple[float, float]] = field(default_factory=list)
    acks: list[tuple[float, int]] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Send as much as may be sent."""
        rng, acks, until = random.Random(0), self.acks, self.now + seconds
        while self.now < until:
            while self.pacer.may_send(size := self.pacer.fragment, self.now):
                self.pacer.sent(self.stream, size, self.now)
                self.free_at = max(self.free_at, self.now) + size / self.rate
                late = rng.expovariate(1 / self.noise) if self.noise else 0.0
                heapq.heappush(acks, (self.free_at + self.trip + late, self.stream.sent))
                self.queues.append((self.now, self.free_at - self.now))
            self.now, received = heapq.heappop(acks)
            self.pacer.acknowledged(self.stream, received, self.now)
            self.arrived = max(self.arrived, received)

    def queue_s(self, since: float) -> list[float]:
        """How long what was sent from then on had to wait on the line, its own time included; sorted."""
        return sorted(queue for at, queue in self.queues if at >= since)


@pytest.mark.parametrize("noise", [0.0, 0.001])
@pytest.mark.parametrize("trip", [0.005, 0.05, 0.2])
@pytest.mark.parametrize("mbps", [2, 5, 20, 100])
def test_the_line_is_kept_busy_with_a_short_queue(mbps: float, trip: float, noise: float) -> None:
    line = Line(mbps * 125_000, trip, noise)
    line.run(10.0)
    before = line.arrived
    line.run(10.0)
    assert line.arrived - before > 0.85 * 10.0 * line.rate
    queues = line.queue_s(10.0)
    assert queues[len(queues) * 95 // 100] < 0.016 + 4 * 1_400 / line.rate + 4 * noise


def test_a_video_that_somebody_waits_for_may_leave_more_of_a_queue() -> None:
    line = Line(5 * 125_000, 0.05, noise=0.002, stream=VideoInFlight(awaited=True))
    line.run(10.0)
    queues = line.queue_s(5.0)
    assert 0.015 < queues[len(queues) // 2] < 0.04
    line.pacer.forget(line.stream)
    line.stream, line.acks, line.queues = VideoInFlight(), [], []
    line.run(10.0)
    queues = line.queue_s(15.0)
    assert queues[len(queues) // 2] < 0.016


def test_a_line_that_gets_slower_gets_a_smaller_window() -> None:
    line = Line(20 * 125_000, 0.05)
    line.run(5.0)
    line.rate /= 4
    line.run(5.0)
    assert max(line.queue_s(8.0)) < 0.016
    line.rate *= 4
    before = line.arrived
    line.run(10.0)
    assert line.arrived - before > 0.75 * 10.0 * line.rate


def test_the_first_messages_wait_for_nothing_and_the_second_round_has_twice_the_room() -> None:
    pacer, stream = VideoPacer(), VideoInFlight()
    assert pacer.may_send(100 << 10, 0.0)  # however large: nothing is under way
    pacer.sent(stream, FIRST_WINDOW, 0.0)
    assert not pacer.may_send(1, 0.0)
    pacer.acknowledged(stream, FIRST_WINDOW, 0.1)
    assert pacer.heard and pacer.in_flight == 0
    pacer.sent(stream, FIRST_WINDOW, 0.1)
    pacer.acknowledged(stream, 2 * FIRST_WINDOW, 0.2)
    assert pacer.window == 2 * FIRST_WINDOW


def test_a_camera_that_needs_little_earns_no_window() -> None:
    pacer, stream = VideoPacer(), VideoInFlight()
    for number in range(100):
        assert pacer.may_send(300, number * 0.1)
        pacer.sent(stream, 300, number * 0.1)
        pacer.acknowledged(stream, stream.sent, number * 0.1 + 0.05)
    assert pacer.window == FIRST_WINDOW


def test_a_cloud_that_never_acknowledges_gets_everything_after_a_while() -> None:
    pacer, stream = VideoPacer(), VideoInFlight()
    pacer.sent(stream, FIRST_WINDOW, 0.0)
    assert not pacer.may_send(1, 4.0)
    assert pacer.may_send(1 << 20, 6.0)


def test_what_a_broken_call_still_sends_takes_no_room_from_the_next() -> None:
    pacer, broken = VideoPacer(), VideoInFlight()
    pacer.sent(broken, 3_000, 0.0)
    pacer.forget(broken)
    pacer.sent(broken, 3_000, 0.1)  # its messages are still being taken when it has ended
    assert pacer.in_flight == 0 and pacer.may_send(FIRST_WINDOW, 0.2)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["send", "ack", "forget"]), st.integers(1, 9_000))))
def test_the_books_always_add_up(steps: list[tuple[int, str, int]]) -> None:
    pacer, streams, now = VideoPacer(), [VideoInFlight() for _ in range(3)], 0.0
    for place, what, size in steps:
        stream, now = streams[place], now + 0.01
        if what == "send":
            pacer.sent(stream, size, now)
        elif what == "ack":
            pacer.acknowledged(stream, min(stream.sent, stream.acknowledged + size), now)
        else:
            pacer.forget(stream)
        assert pacer.in_flight == sum(s.sent - s.acknowledged for s in streams) >= 0
        assert pacer.window > 0 and pacer.fragment > 0
    for stream in streams:
        pacer.forget(stream)
    assert pacer.in_flight == 0
