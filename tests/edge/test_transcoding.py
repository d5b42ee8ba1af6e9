"""Clips of which only the sampled frames go up, encoded anew: the right ones, at the right moments, any size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from common.decoding import DecodedVideo
from common.errors import PromptError, SettingsError, VideoFormatError
from common.video_decoding import VideoDecoder
from common.video_sampling import sampled_indices
from edge.encoding import EncoderSettings, PictureEncoder, fitted_size
from edge.transcoding import SampledClip, check_codec
from edge.video import open_clip
from tests.clips import encode, number_of
from tests.decoders import decoders


@pytest.fixture(scope="module", params=["libx264", "mpeg4"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", request.param, 30)


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_exactly_the_frames_that_the_target_looks_at_go_up(path: Path, codec: str) -> None:
    clip = SampledClip(open_clip(path), codec)
    packets = [packet for _, packet in clip.recorded()]
    wanted = sampled_indices(30, 8)
    assert [packet.index for packet in packets] == wanted and clip.header.frames == 8
    decoder = VideoDecoder(clip.header, count=8)
    sampled = [one for packet in packets for one in decoder.push(packet)] + decoder.finish()
    assert [number_of(picture) for _, picture in sampled] == wanted
    assert [(name.number, name.time_us) for name in decoder.names] == [(n, n * 100_000) for n in wanted]


async def test_a_clip_of_few_frames(tmp_path: Path) -> None:
    clip = SampledClip(open_clip(encode(tmp_path / "short.mp4", "libx264", 3)), "jpeg")
    packets = [packet for _, packet in clip.recorded()]
    groups = DecodedVideo(clip.header, children=decoders(), count=8, size=28)
    groups.take(packets)
    found = [group for group, _ in (groups.work() for _ in range(4)) if group is not None]
    groups.close()
    assert clip.header.frames == 3
    assert [name.number for group in found for name in group.names] == sampled_indices(3, 8)


def test_a_picture_comes_when_it_has_been_taken(path: Path) -> None:
    moments = [round(taken_s, 3) for taken_s, _ in SampledClip(open_clip(path), "jpeg").recorded()]
    assert moments == [0.0, *[round(n / 10 + 0.1, 3) for n in sampled_indices(30, 8)[1:]]]


def test_encoding_again_gives_the_same(path: Path) -> None:
    for codec in ("h264", "jpeg"):
        clip = SampledClip(open_clip(path), codec)
        assert list(clip.recorded()) == list(clip.recorded())


def test_a_named_video_that_lacks_a_frame_is_refused(path: Path) -> None:
    clip = SampledClip(open_clip(path), "jpeg")
    packets = [packet for _, packet in clip.recorded()]
    decoder = VideoDecoder(clip.header, count=8)
    for packet in packets[:-1]:
        decoder.push(packet)
    with pytest.raises(VideoFormatError, match="7 frames, but its header says 8"):
        decoder.finish()


def test_sizes() -> None:
    assert fitted_size(1920, 1080, 448) == (796, 448)
    assert fitted_size(97, 65, 448) in ((96, 64), (98, 64), (96, 66), (98, 66))
    assert fitted_size(80, 80, 448) == (80, 80)


def test_what_isnt_a_codec() -> None:
    with pytest.raises(PromptError, match="copy"):
        check_codec("gif")
    for codec in ("", "copy", "h264", "jpeg"):
        check_codec(codec)
    with pytest.raises(SettingsError):
        EncoderSettings("gif", Fraction(2))


def test_no_picture_takes_the_line_for_longer_than_its_stride(path: Path) -> None:
    rng = np.random.default_rng(0)
    encoder = PictureEncoder(320, 240, EncoderSettings("h264", Fraction(2), kbps=200, refresh=8))
    sizes = []
    for number in range(24):
        noise = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)  # the worst that there is
        frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
        sizes.append(len(encoder.encode(frame, number, number * 500_000).data))
    assert max(sizes[1:]) < 1.5 * 200_000 / 8 / 2
