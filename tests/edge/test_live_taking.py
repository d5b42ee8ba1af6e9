"""Live pictures taken by a child: the very ones that this process would take, and a child can't do worse than fail."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from common.child_pool import ChildPool
from common.errors import VideoFormatError
from common.limited_child import Limits
from common.live import LiveWindow, Sampler
from common.named_files import allowed_in
from common.video import VideoPacket
from edge.encoding import EncoderSettings, PictureEncoder
from edge.events.types import Events
from edge.live_child import Sensor
from edge.live_hosts import parse_hosts
from edge.live_ring import keyframe_due
from edge.live_source import LiveSource, pictures
from edge.live_taking import live_children, taken
from edge.live_wire import TakenPicture, Taking, decode_taking, encode_taking
from tests.clips import encode
from tests.edge.odd_takers import REPLIES

WINDOW = LiveWindow(200_000, 8)
ENCODING = EncoderSettings("h264", Fraction(5), 500, refresh=8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", 12)


def taking(name: str, *, simulate: bool = False, **source: Any) -> Taking:
    return Taking(LiveSource(name, **source), WINDOW, ENCODING, simulate)


def test_the_same_pictures_and_events_as_in_this_process(clip: Path) -> None:
    came = list(taken(taking(str(clip), simulate=True), threading.Event()))
    shown = [one for one in came if isinstance(one, TakenPicture)]
    events = [one for one in came if isinstance(one, Events)]
    sampler, sensor, encoder = Sampler(WINDOW), Sensor(), None
    expected: list[VideoPacket] = []
    reported: list[Events] = []
    for time_us, frame in pictures(LiveSource(str(clip)), threading.Event()):
        reported += [seen for seen in [sensor.see(frame, time_us)] if seen is not None]
        if sampler.take(time_us):
            encoder = encoder or PictureEncoder(frame.width, frame.height, ENCODING)
            number = len(expected)
            expected.append(encoder.encode(frame, number, time_us, keyframe=keyframe_due(number, WINDOW)))
    assert [one.packet for one in shown] == expected and len(expected) > 4
    assert {(one.header.codec, one.header.width, one.header.height) for one in shown} == {("h264", 96, 64)}
    assert all(one.header.live == WINDOW and one.header.ahead and 0 <= one.age_s < 30 for one in shown)
    assert [len(one) for one in events] == [len(one) for one in reported] and len(events) > 4
    assert all((a.t == b.t).all() and (a.x == b.x).all() for a, b in zip(events, reported, strict=True))


def test_a_relative_name_is_the_same_file(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    assert isinstance(next(taken(taking(clip.name), threading.Event())), TakenPicture)


def test_all_that_is_said_of_a_source_reaches_the_child(tmp_path: Path) -> None:
    hosts = parse_hosts("private,10.0.0.0/8,fd00::/8,camera.example", redirects=True)
    said = taking("rtsp://camera.example/1", loop=True, hosts=hosts, allowed=allowed_in([str(tmp_path)]), simulate=True)
    assert decode_taking(encode_taking(said)) == said


def test_what_may_not_be_opened_or_cant_be_is_told(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(os.urandom(5_000))
    for one, said in (
        (taking(str(clip), allowed=allowed_in([str(tmp_path)])), "none of the folders"),
        (taking(str(tmp_path / "noise.mp4")), "can't watch"),
        (taking("tcp://127.0.0.1:9"), "isn't among the hosts"),
    ):
        with pytest.raises(VideoFormatError, match=said) as caught:
            list(taken(one, threading.Event()))
        assert "\n" not in str(caught.value)


def test_who_stops_ends_the_child_though_its_source_is_silent(tmp_path: Path) -> None:
    pipe, stop = tmp_path / "pipe", threading.Event()
    os.mkfifo(pipe)
    came: list[object] = []
    thread = threading.Thread(target=lambda: came.extend(taken(taking(str(pipe)), stop)))
    thread.start()
    time.sleep(0.5)
    stop.set()
    thread.join(20)
    assert not thread.is_alive() and came == []
    for _ in range(200):
        if live_children()._has_place() and live_children()._taken == 0:
            return
        time.sleep(0.05)
    pytest.fail("its child was never given back")


@pytest.mark.parametrize("deed", REPLIES)
def test_whatever_a_child_answers_costs_its_own_stream(deed: str) -> None:
    limits = Limits(memory_bytes=1 << 30, cpu_s=5, wall_s=20.0)
    pool = ChildPool(f"tests.edge.odd_takers:{deed}", limits, error=VideoFormatError, places=1, kept=0)
    with pytest.raises(VideoFormatError) as caught:
        list(taken(taking("any"), threading.Event(), pool))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
