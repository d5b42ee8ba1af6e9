"""Videos decoded by children: the frames are those of the decoder itself, and a child can't do worse than fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.child_pool import ChildPool
from common.decoding import DecodedVideo, FrameGroup
from common.errors import VideoFormatError
from common.frames import clip_pixels
from common.limited_child import Limits
from common.live import LiveWindow
from common.video import VideoHeader, VideoPacket
from common.video_decoding import VideoDecoder
from edge.video import Clip, open_clip
from tests.clips import encode
from tests.cloud.test_video import ENCODINGS
from tests.common.odd_decoders import REPLIES, SIZE
from tests.decoders import decoders


def all_of(video: DecodedVideo) -> list[FrameGroup]:
    found, more = [], True
    while more:
        group, more = video.work()
        found += [group] if group is not None else []
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return open_clip(encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264"))


@pytest.mark.parametrize(("name", "encoder", "options", "codec"), ENCODINGS, ids=[name for name, *_ in ENCODINGS])
def test_every_codec_gives_the_decoders_own_frames(
    tmp_path: Path, name: str, encoder: str, options: dict[str, str], codec: str
) -> None:
    clip = open_clip(encode(tmp_path / name, encoder, options=options))
    assert clip.header.codec == codec
    decoder = VideoDecoder(clip.header, count=8)
    pictures = [found for packet in clip.packets() for _, found in decoder.push(packet)]
    pictures += [found for _, found in decoder.finish()]
    video = DecodedVideo(clip.header, children=decoders(), count=8, size=28)
    groups = []
    for packet in clip.packets():
        video.take((packet,))
        groups += all_of(video)
    video.take(())
    groups += all_of(video)
    video.close()
    assert [group.first for group in groups] == list(np.cumsum([0, *(len(group.pixels) for group in groups)])[:-1])
    assert tuple(name for group in groups for name in group.names) == tuple(decoder.names)
    np.testing.assert_array_equal(np.concatenate([group.pixels for group in groups]), clip_pixels(pictures, 28))


def test_many_packets_at_once_come_in_the_same_groups(clip: Clip) -> None:
    one, all_at_once = (DecodedVideo(clip.header, children=decoders(), count=8, size=28) for _ in range(2))
    groups = []
    for packet in clip.packets():
        one.take((packet,))
        groups += all_of(one)
    all_at_once.take(tuple(clip.packets()))
    other = all_of(all_at_once)
    assert len(groups) >= len(other) > 1
    np.testing.assert_array_equal(
        np.concatenate([group.pixels for group in groups]), np.concatenate([group.pixels for group in other])
    )
    one.close()
    all_at_once.close()


def odd(deed: str, limits: Limits | None = None) -> ChildPool:
    limits = limits or Limits(memory_bytes=1 << 30, cpu_s=5, wall_s=20.0)
    return ChildPool(f"tests.common.odd_decoders:{deed}", limits, error=VideoFormatError, places=1, kept=0)


@pytest.fixture(params=[False, True], ids=["clip", "live"])
def header(request: pytest.FixtureRequest) -> VideoHeader:
    live = LiveWindow(100_000, 8) if request.param else None
    return VideoHeader("h264", b"", 64, 48, 0 if live else 9, 1, 1_000_000, live=live)


@pytest.mark.parametrize("deed", [deed for deed in REPLIES if deed not in ("hang", "bomb")])
def test_whatever_a_child_answers_costs_its_own_video(deed: str, header: VideoHeader) -> None:
    pool = odd(deed)
    video = DecodedVideo(header, children=pool, count=8, size=SIZE)
    video.take((VideoPacket(0, 0, 0, True, b"x"),))
    with pytest.raises(VideoFormatError) as caught:
        video.work()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    assert video.work() == (None, False)
    video.close()
    pool.acquire().end()


def test_one_that_takes_too_long_or_too_much_is_given_up(header: VideoHeader) -> None:
    for deed, limits, said in (
        ("hang", Limits(wall_s=0.5), "more than 0.5 s"),
        ("bomb", Limits(memory_bytes=1 << 30, wall_s=20.0), "more than 1,024 MiB"),
    ):
        video = DecodedVideo(header, children=odd(deed, limits), count=8, size=SIZE)
        video.take((VideoPacket(0, 0, 0, True, b"x"),))
        with pytest.raises(VideoFormatError, match=said):
            video.work()
        video.close()


def test_who_is_stopped_waits_for_nobody() -> None:
    video = DecodedVideo(VideoHeader("h264", b"", 64, 48, 9, 1, 25), children=odd("hang"), count=8, size=SIZE)
    video.take((VideoPacket(0, 0, 0, True, b"x"),))
    failed: list[str] = []

    def work() -> None:
        try:
            video.work()
        except VideoFormatError as error:
            failed.append(str(error))

    began = time.monotonic()
    thread = threading.Thread(target=work)
    thread.start()
    while video._child is None:
        time.sleep(0.01)
    time.sleep(0.2)
    video.stop()
    thread.join()
    video.close()
    assert failed and time.monotonic() - began < 15


def test_headers_are_checked_before_there_is_a_child(clip: Clip) -> None:
    pool = odd("crash")
    for change in ({"codec": "rawvideo"}, {"width": 0}, {"frames": 0}, {"named": (3, 2)}, {"frames": 10**6}):
        with pytest.raises(VideoFormatError):
            DecodedVideo(replace(clip.header, **change), children=pool, count=8, size=8)


@pytest.fixture(autouse=True)
def _nothing_is_lost() -> Iterator[None]:
    yield
    for _ in range(200):
        if decoders()._has_place() and decoders()._taken == 0:
            return
        time.sleep(0.05)
    pytest.fail("a child was never given back")
