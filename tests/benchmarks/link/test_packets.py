"""The packet queue of one direction, against what a link must keep whatever is pushed."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.link.lines import Line, RateLine, TraceLine, window_at, work_until
from benchmarks.link.packets import LossPattern, PacketQueue
from benchmarks.link.profile import Outage
from benchmarks.link.trace import Trace

PUSHES = st.lists(st.tuples(st.integers(20, 1500), st.floats(0, 0.2)), min_size=1, max_size=80)
OUTAGES = st.lists(
    st.one_of(
        st.builds(Outage, st.floats(0, 3), st.floats(0.01, 1)),
        st.builds(Outage, st.floats(0, 3), st.floats(0.01, 0.3), st.floats(1, 3)),
    ),
    max_size=3,
)
TRACES = st.lists(st.integers(0, 400), min_size=1, max_size=40).map(sorted).filter(lambda t: t[-1] > 0)


def queue_of(line: Line, **changes: float) -> PacketQueue:
    values = {"delay_s": 0.05, "jitter_s": 0.0, "loss": 0.0, "queue_bytes": 96_000, "seed": 1} | changes
    return PacketQueue(line, **values)  # type: ignore[arg-type]


@st.composite
def lines(draw: st.DrawFn) -> Line:
    outages = draw(OUTAGES)
    assume(sum(o.duration_s / o.every_s for o in outages if o.every_s) < 0.9)
    if draw(st.booleans()):
        return RateLine(draw(st.floats(0.1, 100)), outages)
    assume(not any(o.every_s for o in outages))  # a period may hit every opportunity of a trace
    return TraceLine(Trace(tuple(draw(TRACES))), outages)


@given(line=lines(), pushes=PUSHES, jitter=st.floats(0, 0.05), loss=st.floats(0, 0.9), limit=st.integers(1500, 50_000))
def test_packets_arrive_in_order_and_never_early(
    line: Line, pushes: list[tuple[int, float]], jitter: float, loss: float, limit: int
) -> None:
    queue = queue_of(line, jitter_s=jitter, loss=loss, queue_bytes=limit)
    now, last, passed = 0.0, 0.0, 0
    for length, gap in pushes:
        now += gap
        arrival = queue.push(length, now)
        assert queue.backlog(now) <= limit
        if arrival is not None:
            passed += 1
            assert arrival >= now + 0.05 - jitter - 1e-9
            assert arrival >= last
            last = arrival
    counts = queue.counts
    assert (counts.sent - counts.lost, counts.sent + counts.dropped) == (passed, len(pushes))


@given(mbps=st.floats(0.5, 200), lengths=st.lists(st.integers(40, 1500), min_size=1, max_size=60))
def test_a_burst_leaves_at_the_rate(mbps: float, lengths: list[int]) -> None:
    queue = queue_of(RateLine(mbps), delay_s=0.0)
    arrivals = [queue.push(length, 1.0) for length in lengths]
    assert arrivals[-1] == pytest.approx(1.0 + sum(lengths) * 8e-6 / mbps)


@given(times=TRACES, lengths=st.lists(st.integers(40, 1500), min_size=1, max_size=60), now=st.floats(0, 3))
def test_a_trace_gives_no_more_than_its_opportunities(times: list[int], lengths: list[int], now: float) -> None:
    line = TraceLine(Trace(tuple(times)))
    last = [line.finish(length, now) for length in lengths][-1]
    opportunities = 0
    for turn in range(int(last * 1e3 / times[-1]) + 2):
        opportunities += sum(now - 1e-6 <= (turn * times[-1] + time) / 1e3 <= last + 1e-6 for time in times)
    assert last >= now - 1e-9
    assert sum(lengths) <= opportunities * 1500


def test_a_saturated_trace_gives_its_mean() -> None:
    trace = Trace((3, 3, 7, 10))
    line = TraceLine(trace)
    finish = [line.finish(1500, 0.0) for _ in range(4000)]
    assert finish[:5] == pytest.approx([0.003, 0.003, 0.007, 0.010, 0.013])
    assert 4000 * 1500 * 8e-6 / finish[-1] == pytest.approx(trace.mean_mbps)


def test_small_packets_share_an_opportunity_and_an_idle_one_is_gone() -> None:
    line = TraceLine(Trace((5, 10)))
    assert [line.finish(700, 0.0) for _ in range(3)] == [0.005, 0.005, 0.010]
    assert line.finish(100, 0.0062) == 0.010
    assert line.finish(100, 0.0121) == 0.015


def test_a_full_queue_drops_and_takes_packets_again_when_it_has_drained() -> None:
    queue = queue_of(RateLine(12.0), queue_bytes=3000)  # a full packet takes a millisecond
    assert [queue.push(1500, 0.0) is None for _ in range(4)] == [False, False, True, True]
    assert queue.free_at(0.0) == pytest.approx(0.001)
    assert queue.push(1500, 0.0011) is not None
    assert queue.counts.dropped == 2


@given(start=st.floats(0, 8), work=st.floats(0, 2), outages=OUTAGES.filter(bool))
def test_work_stands_still_in_outages(start: float, work: float, outages: list[Outage]) -> None:
    assume(sum(o.duration_s / o.every_s for o in outages if o.every_s) < 0.9)
    end = work_until(start, work, outages)
    step = 0.0005
    done = sum(
        step
        for n in range(int((end - start) / step))
        if all(window_at(outage, start + n * step)[0] > start + n * step for outage in outages)
    )
    assert done == pytest.approx(work, abs=0.002 * (2 + len(outages) * (end - start)) + 1e-6)


@given(share=st.floats(0.0005, 0.95), seed=st.integers(0, 99))
def test_loss_is_what_the_profile_says_over_some_thousand_packets(share: float, seed: int) -> None:
    pattern = LossPattern(share, random.Random(seed))
    lost = sum(pattern.draw() for _ in range(10_000))
    assert abs(lost - 10_000 * share) <= max(0.2 * 10_000 * share, 6)


def test_losses_are_not_regular() -> None:
    pattern = LossPattern(0.05, random.Random(3))
    drawn = [pattern.draw() for _ in range(20_000)]
    gaps = {b - a for a, b in zip(*[[i for i, lost in enumerate(drawn) if lost][k:] for k in (0, 1)], strict=False)}
    assert 1 in gaps and len(gaps) > 40


def test_jitter_spreads_evenly_around_the_delay() -> None:
    queue = queue_of(RateLine(1000.0), jitter_s=0.01)
    delays = sorted((queue.push(40, float(n)) or 0.0) - n for n in range(4000))
    assert delays[0] == pytest.approx(0.04, abs=2e-4)
    assert delays[2000] == pytest.approx(0.05, abs=6e-4)
    assert delays[-1] == pytest.approx(0.06, abs=2e-4)
