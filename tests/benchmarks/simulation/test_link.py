"""The modelled link: serialisation, delay, slow start, loss, outages."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from benchmarks.link.presets import PRESETS
from benchmarks.link.profile import LinkProfile, Outage
from benchmarks.simulation.link import BulkConnection, LinkFigures, MessageStream, Pipe, wire_bytes
from benchmarks.simulation.timeline import Timeline
from benchmarks.simulation.upload import PacedUploads


def _pipe(timeline: Timeline, figures: LinkFigures) -> Pipe:
    return Pipe(timeline, figures, figures.uplink, figures.uplink_queue, random.Random(1))


def _upload(figures: LinkFigures, size: int) -> float:
    timeline, ends = Timeline(), []
    connection = BulkConnection(timeline, _pipe(timeline, figures))
    connection.send([size], lambda index: ends.append(timeline.now))
    assert timeline.run(1e6)
    assert len(ends) == 1
    return ends[0]


def test_a_message_takes_its_bits_and_half_a_round_trip() -> None:
    timeline, at = Timeline(), []
    figures = LinkFigures(rtt=0.1, uplink=10_000)
    stream = MessageStream(timeline, _pipe(timeline, figures))
    for _ in range(2):
        stream.send(100, lambda: at.append(timeline.now))
    timeline.run(10)
    one = wire_bytes(100) / 10_000
    assert at == pytest.approx([0.05 + one, 0.05 + 2 * one])


def test_nothing_slows_an_upload_on_an_ideal_link() -> None:
    assert _upload(LinkFigures(), 5_000_000) == pytest.approx(0.0)


def test_a_long_upload_takes_the_rate() -> None:
    figures = LinkFigures(rtt=0.02, uplink=2.5e6, uplink_queue=200_000)
    assert _upload(figures, 10_000_000) == pytest.approx(10e6 / 2.5e6, rel=0.08)


def test_slow_start_takes_its_rounds() -> None:
    # ten segments, then twice as many each round trip: 2 MB need 1 + log2(2e6 / 14480) rounds on a fast link
    figures = LinkFigures(rtt=0.1, uplink=1e9, uplink_queue=1e9)
    rounds = math.log2(2e6 / 14_480 + 1)
    assert (math.floor(rounds) + 0.5) * 0.1 - 1e-6 <= _upload(figures, 2_000_000) <= (math.ceil(rounds) + 0.5) * 0.1


def test_a_warm_connection_is_faster_and_an_idle_one_begins_anew() -> None:
    figures = LinkFigures(rtt=0.1, uplink=1e8, uplink_queue=1e7)

    def second(pause: float) -> float:
        timeline, ends = Timeline(), []
        connection = BulkConnection(timeline, _pipe(timeline, figures))
        connection.send([1_000_000], lambda index: ends.append(timeline.now))
        timeline.run(100)
        timeline.at(ends[0] + pause, lambda: connection.send([1_000_000], lambda index: ends.append(timeline.now)))
        timeline.run(200)
        return ends[1] - ends[0] - pause

    assert second(0.1) < second(5.0) == pytest.approx(_upload(figures, 1_000_000))


def test_a_draft_waits_behind_the_video_in_the_queue_and_no_longer() -> None:
    figures = LinkFigures(rtt=0.02, uplink=250_000, uplink_queue=50_000)
    timeline, at = Timeline(), []
    pipe = _pipe(timeline, figures)
    BulkConnection(timeline, pipe).send([2_000_000], lambda index: None)
    stream = MessageStream(timeline, pipe)
    timeline.at(4.0, lambda: stream.send(20, lambda: at.append(timeline.now)))
    timeline.run(60)
    assert 4.0 + 0.01 < at[0] < 4.0 + 0.01 + (50_000 + 5_000 + 33_000) / 250_000


def test_loss_costs_time_and_never_a_message() -> None:
    lossy = LinkFigures(rtt=0.05, uplink=2.5e6, loss=0.02, uplink_queue=100_000)
    clean = LinkFigures(rtt=0.05, uplink=2.5e6, uplink_queue=100_000)
    assert _upload(lossy, 2_000_000) > _upload(clean, 2_000_000)


def test_messages_stay_in_order_whatever_jitter_and_loss() -> None:
    timeline, order = Timeline(), []
    stream = MessageStream(timeline, _pipe(timeline, LinkFigures(rtt=0.1, jitter=0.1, loss=0.2)))
    for number in range(200):
        timeline.at(number * 0.001, lambda number=number: stream.send(10, lambda: order.append(number)))  # type: ignore[misc]
    timeline.run(100)
    assert order == list(range(200))


def test_nothing_passes_in_an_outage() -> None:
    figures = LinkFigures(outages=(Outage(1.0, 0.5, every_s=10.0),))
    timeline, at = Timeline(), []
    stream = MessageStream(timeline, _pipe(timeline, figures))
    for when in (0.5, 1.1, 1.7, 11.2):
        timeline.at(when, lambda: stream.send(10, lambda: at.append(round(timeline.now, 6))))
    timeline.run(100)
    assert at == [0.5, 1.5, 1.7, 11.5]


def test_figures_of_a_profile() -> None:
    figures = LinkFigures.of(LinkProfile("x", rtt_ms=50, uplink_mbps=20, downlink_mbps=100, jitter_ms=4, loss_pct=1))
    assert (figures.rtt, figures.uplink, figures.downlink, figures.jitter, figures.loss) == (
        0.05,
        2.5e6,
        12.5e6,
        0.004,
        0.01,
    )
    assert LinkFigures.of(None).rtt == 0.0
    assert all(LinkFigures.of(profile).uplink > 0 for profile in PRESETS.values())


def _paced(timeline: Timeline, figures: LinkFigures) -> tuple[PacedUploads, Pipe]:
    up = _pipe(timeline, figures)
    down = Pipe(timeline, figures, figures.downlink, figures.downlink_queue, random.Random(2))
    return PacedUploads(timeline, BulkConnection(timeline, up), MessageStream(timeline, down)), up


def test_a_draft_finds_a_short_queue_beside_a_paced_video() -> None:
    figures = LinkFigures(rtt=0.05, uplink=250_000, uplink_queue=100_000)
    timeline, waits = Timeline(), []
    uploads, up = _paced(timeline, figures)
    uploads.send(2_000_000, lambda share: None, lambda: None)
    stream = MessageStream(timeline, up)

    def ask(at: float) -> None:
        stream.send(20, lambda: waits.append(timeline.now - at - 0.025))

    for tenth in range(20, 70):
        timeline.at(tenth / 10, lambda at=tenth / 10: ask(at))  # type: ignore[misc]
    timeline.run(100)
    assert sorted(waits)[len(waits) // 2] < 0.03  # of the 0.4 s that the queue would hold


def test_paced_videos_arrive_whole_and_keep_the_line_busy() -> None:
    figures = LinkFigures(rtt=0.05, uplink=1_000_000, uplink_queue=100_000)
    timeline = Timeline()
    shares: list[Any] = []
    ends: list[Any] = []
    uploads, _ = _paced(timeline, figures)
    for _ in range(3):
        uploads.send(1_000_000, shares.append, lambda: ends.append(timeline.now))
    assert timeline.run(1e3)
    assert len(ends) == 3 and shares.count(1.0) == 3
    assert 3.0 < max(ends) < 3.0 * 1.25 + 0.3
