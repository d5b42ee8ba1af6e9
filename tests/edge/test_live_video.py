"""One question's frames: pinned when they are named, given again as they were; and what a session makes of names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.ask import WatchRequest
from common.errors import EngineError, EventFormatError, PromptError
from common.live import LiveWindow
from common.types import Commit, FrameName, Open, Opened
from common.video import VideoHeader, VideoPacket
from edge.actions import Connect, Named, Send, SendVideo
from edge.clips import ClipReader
from edge.controller import DraftLength
from edge.eventgpt import EventGPTConfig
from edge.events import Events, save_events
from edge.events.isolated import READER
from edge.live_child import Sensor
from edge.live_events import RecordedEvents, SimulatedEvents, live_events, parts_of
from edge.live_ring import LiveRing, keyframe_due
from edge.live_video import LiveVideo
from edge.live_watch import window_of
from edge.session import EdgeSession, Phase, SessionSettings
from edge.stages import Stages

WINDOW = LiveWindow(100_000, 4)
HEADER = VideoHeader("h264", b"", 96, 64, 0, 1, 1_000_000, ahead=True, live=WINDOW)


def ring_of(count: int) -> LiveRing:
    ring = LiveRing(WINDOW)
    for number in range(count):
        ring.add(VideoPacket(number, number * 100_000, number * 100_000, keyframe_due(number, WINDOW), b"x"))
    return ring


def test_pinned_frames_stay_whatever_the_ring_lets_go() -> None:
    ring = ring_of(10)
    video = LiveVideo(ring, HEADER, 4)
    named = ring.looked_at(4)
    video.pin(named)
    for number in range(10, 100):
        ring.add(VideoPacket(number, number * 100_000, number * 100_000, keyframe_due(number, WINDOW), b"y"))
    assert video.choose(told=True) == named
    again = video.video()
    assert again.header.named == (6, 7, 8, 9) and not again.header.ahead and again.header.live is None
    packets = list(again.packets())  # type: ignore[arg-type]
    assert len(packets) == again.header.frames and packets[0].keyframe and packets[-1].index == 9
    assert all(packet.data == b"x" for packet in packets)


def test_a_cloud_without_the_stream_gets_the_newest_window() -> None:
    video = LiveVideo(ring_of(10), HEADER, 4)
    assert [name.number for name in video.choose(told=False)] == [6, 7, 8, 9]


def test_frames_that_are_gone_everywhere_end_what_was_told_and_no_more() -> None:
    ring = ring_of(200)
    video = LiveVideo(ring, HEADER, 4)
    video.pin((FrameName(3, 300_000),) * 4)
    with pytest.raises(EngineError, match="gone"):
        video.choose(told=True)
    assert [name.number for name in video.choose(told=False)] == [196, 197, 198, 199]
    with pytest.raises(EngineError, match="nothing has been seen"):
        LiveVideo(ring_of(0), HEADER, 4).choose(told=False)


NAMES = tuple(FrameName(n, n * 100_000) for n in range(4))


def session() -> EdgeSession:
    opening = Open("session-0", "what?", clip="live-0000")
    made = EdgeSession(opening, SessionSettings(drafts=False), frozenset({2}), DraftLength(), 0.0)
    assert isinstance(made.drain()[0], Connect)
    made.connected(0.1)
    return made


def test_names_are_pinned_and_repeated() -> None:
    made = session()
    made.received(Opened("session-0", 64, 16, video_needed=False, frames=NAMES), 0.2)
    assert Named(NAMES) in made.drain()
    made.received(Commit(0, (5,)), 0.3)
    made.link_lost(EngineError("gone"), 0.4)
    made.connected(0.5)
    (again,) = [a.message for a in made.drain() if isinstance(a, Send)]
    assert isinstance(again, Open) and again.frames == (0, 1, 2, 3) and again.committed == (5,)
    made.received(Opened("session-0", 64, 16, 1, video_needed=True), 0.6)
    assert SendVideo() in made.drain() and made.frames == NAMES


def test_an_answer_that_has_begun_is_never_continued_about_other_frames() -> None:
    made = session()
    made.received(Opened("session-0", 64, 16, video_needed=False, frames=NAMES), 0.2)
    made.received(Commit(0, (5,)), 0.3)
    made.link_lost(EngineError("gone"), 0.4)
    made.connected(0.5)
    made.received(Opened("session-0", 64, 16, 1, video_needed=False, frames=NAMES[:3] + NAMES[:1]), 0.6)
    assert made.phase is Phase.LOST and made.frames == NAMES


def test_windows_that_are_asked_for() -> None:
    request = WatchRequest("x", live=True)
    assert window_of(request) == LiveWindow(500_000, 8)
    assert window_of(replace(request, window_us=8_000_000, stride_us=500_000)) == LiveWindow(500_000, 16)
    with pytest.raises(PromptError, match="window-s"):
        window_of(replace(request, window_us=1_000))


@settings(deadline=None)
@given(st.integers(0, 10**7), st.integers(1, 10**6), st.integers(10_000, 10**6))
def test_the_parts_of_a_window_are_the_window(begin: int, length: int, period: int) -> None:
    parts = parts_of(begin, begin + length, period)
    assert sum(end - start for start, end in parts) == length
    assert all(0 <= start < end <= period for start, end in parts)
    assert parts[0][0] == begin % period
    assert parts_of(begin, begin + length, 0) == [(begin, begin + length)]


def recording(path: Path) -> Path:
    t = np.arange(0, 1_000_000, 1_000, dtype=np.int64)
    x = (t // 10_000).astype(np.uint16)
    save_events(Events(x, np.zeros_like(x), t, np.ones(len(t), np.uint8), 128, 64), path)
    return path


async def test_events_of_a_loop_span_its_end(tmp_path: Path) -> None:
    config = EventGPTConfig(frames=2, window_us=200_000)
    request = WatchRequest("clip", str(recording(tmp_path / "events.npy")), live=True, loop=True)
    with ThreadPoolExecutor(1) as files:
        before, after = await RecordedEvents(request, config, 1_000_000, READER).frames(3_100_000, Stages(), files)
        columns = [np.flatnonzero((picture != 255).any(axis=(0, 2))) for picture in (before, after)]
        assert columns[0].min() >= 89 and columns[1].max() <= 11
        with pytest.raises(EventFormatError):
            await RecordedEvents(request, config, 0, READER).frames(9_000_000, Stages(), files)


async def test_events_of_the_pictures_themselves() -> None:
    import av

    config = EventGPTConfig(frames=2, window_us=300_000)
    with ThreadPoolExecutor(1) as files:
        events = await live_events(WatchRequest("x", "simulated", live=True), config, files, READER, ClipReader())
        assert isinstance(events, SimulatedEvents)
        with pytest.raises(EventFormatError, match="moved"):
            await events.frames(0, Stages(), files)
        sensor = Sensor()
        for number in range(10):
            picture = np.zeros((32, 48, 3), np.uint8)
            picture[:, 4 * number : 4 * number + 4] = 250
            reported = sensor.see(av.VideoFrame.from_ndarray(picture, format="rgb24"), number * 50_000)
            if reported is not None:
                events.take(reported)
        frames = await events.frames(450_000, Stages(), files)
    assert [frame.shape[2] for frame in frames] == [3, 3]
    assert not any((frame == 255).all() for frame in frames)
