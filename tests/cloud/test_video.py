"""Decoding in the cloud: the wanted frames equal those of the whole file, and hostile packets are refused."""

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.video import CODECS, VideoDecoder, VideoLimits, sampled_indices
from common import codec
from common.errors import VideoFormatError
from common.types import LARGEST, Finished, FinishReason
from common.video import NOT_SHOWN, VideoHeader, VideoPacket, ticks_us
from edge.video import Clip, open_clip
from tests.clips import HEIGHT, WIDTH, decode_all, encode, jpegs, number_of, trim
from tests.edge.events.recordings import recording

JPEGS = jpegs(2)


def decode(clip: Clip, *, count: int = 8) -> list[NDArray[np.uint8]]:
    """The wanted frames, by place."""
    decoder = VideoDecoder(clip.header, count=count)
    sampled = [found for packet in clip.packets() for found in decoder.push(packet)] + decoder.finish()
    assert [place for place, _ in sampled] == list(range(count))
    return [frame for _, frame in sampled]


def push_all(header: VideoHeader, packets: list[VideoPacket], limits: VideoLimits | None = None) -> None:
    decoder = VideoDecoder(header, limits)
    for packet in packets:
        decoder.push(packet)
    decoder.finish()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    options = {"bf": "3", "b-adapt": "0", "g": "12"}
    return open_clip(encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", options=options))


ENCODINGS = [
    ("a.mp4", "libx264", {"bf": "3", "b-adapt": "0", "b-pyramid": "normal"}, "h264"),
    ("open.mkv", "libx264", {"bf": "2", "g": "7", "x264-params": "open-gop=1"}, "h264"),
    ("a.ts", "libx264", {"tune": "zerolatency"}, "h264"),
    ("b.mp4", "libx265", {"x265-params": "log-level=none:bframes=3"}, "hevc"),
    ("a.avi", "mpeg4", {"bf": "2"}, "mpeg4"),
    ("b.avi", "msmpeg4", {}, "msmpeg4v3"),
    ("a.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}, "vp8"),
    ("b.webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16"}, "vp9"),
    ("c.mp4", "libsvtav1", {"preset": "12", "svtav1-params": "lookahead=8"}, "av1"),
    ("a.mov", "mjpeg", {}, "mjpeg"),
]


@pytest.mark.parametrize(("name", "encoder", "options", "codec"), ENCODINGS, ids=[name for name, *_ in ENCODINGS])
@pytest.mark.parametrize("count", [8, 30])
def test_frames_equal_those_of_the_whole_file(
    tmp_path: Path, name: str, encoder: str, options: dict[str, str], codec: str, count: int
) -> None:
    path = encode(tmp_path / name, encoder, options=options)
    opened = open_clip(path)
    assert opened.header.codec == codec
    whole = decode_all(path)
    assert len(whole) == opened.header.frames == 30
    sampled = decode(opened, count=count)
    for index, frame in zip(sampled_indices(30, count), sampled, strict=True):
        np.testing.assert_array_equal(frame, whole[index])
        assert number_of(frame) == index


def test_every_codec_taken_is_tested() -> None:
    assert {codec for *_, codec in ENCODINGS} == CODECS


@pytest.mark.parametrize("name", ["vtest.avi", "bikes.mp4"])
def test_real_clips_equal_the_whole_file(name: str) -> None:
    path = recording(name)
    whole = decode_all(path)
    for index, frame in zip(sampled_indices(len(whole)), decode(open_clip(path)), strict=True):
        np.testing.assert_array_equal(frame, whole[index])


def test_trimmed_clips_show_what_players_show(clip: Clip, tmp_path: Path) -> None:
    trimmed = trim(clip.path, tmp_path / "trimmed.mp4", Fraction(55, 100))
    shown = [number_of(frame) for frame in decode_all(trimmed)]
    assert 0 < len(shown) < 30
    assert [number_of(frame) for frame in decode(open_clip(trimmed), count=len(shown))] == shown


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 9])
def test_few_frames_are_repeated(tmp_path: Path, frames: int) -> None:
    sampled = decode(open_clip(encode(tmp_path / "short.mp4", "libx264", frames)))
    assert [number_of(frame) for frame in sampled] == sampled_indices(frames)


def test_frames_come_as_soon_as_they_can(clip: Clip) -> None:
    """The first frame must not wait for the last packet: the cloud encodes frames while others still arrive."""
    decoder = VideoDecoder(clip.header)
    came = [len(decoder.push(packet)) for packet in clip.packets()]
    assert sum(came[:15]) >= 3


@given(st.integers(1, 30_000), st.integers(1, 64))
def test_indices_are_the_originals(total: int, count: int) -> None:
    indices = sampled_indices(total, count)
    assert indices == np.linspace(0, total - 1, count).astype(int).tolist()
    assert len(indices) == count
    assert indices[0] == 0
    assert count == 1 or indices[-1] == total - 1


def test_no_indices_of_nothing() -> None:
    with pytest.raises(ValueError, match="of 0 frames"):
        sampled_indices(0)


# --- what a hostile or broken edge may send


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": "rawvideo"}, "'rawvideo' isn't taken"),
        ({"codec": "../../etc"}, "isn't taken"),
        ({"codec": "libx264"}, "isn't taken"),
        ({"frames": 0}, "has 0 frames"),
        ({"frames": 20_001}, "has 20,001 frames"),
        ({"width": 0}, "is 0x64"),
        ({"width": 2**31, "height": 2**31}, "scale it down"),
        ({"extradata": bytes(2**20 + 1)}, "1,048,577 bytes"),
    ],
)
def test_headers_that_are_refused(clip: Clip, change: dict[str, object], message: str) -> None:
    with pytest.raises(VideoFormatError, match=message):
        VideoDecoder(replace(clip.header, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [1, 29, 31, 60])
def test_another_number_of_frames_than_the_header_says(clip: Clip, frames: int) -> None:
    with pytest.raises(VideoFormatError, match="header"):
        push_all(replace(clip.header, frames=frames), list(clip.packets()))


def test_lost_doubled_and_swapped_packets(clip: Clip) -> None:
    packets = list(clip.packets())
    with pytest.raises(VideoFormatError, match="packet 6 came where 5 was due"):
        push_all(clip.header, packets[:5] + packets[6:])
    with pytest.raises(VideoFormatError, match="packet 4 came where 5 was due"):
        push_all(clip.header, packets[:5] + packets[4:])
    renumbered = [replace(packet, index=index) for index, packet in enumerate(packets[:5] + packets[6:])]
    with pytest.raises(VideoFormatError, match=r"header|damaged|decoded"):
        push_all(clip.header, renumbered)


def test_hidden_packets_have_a_limit(clip: Clip) -> None:
    packets = [replace(packet, pts=NOT_SHOWN) for packet in clip.packets()]
    decoder = VideoDecoder(replace(clip.header, frames=1))
    for index in range(1_001):
        assert decoder.push(replace(packets[index % 30], index=index)) == []
    with pytest.raises(VideoFormatError, match="more packets than its header's 1 frames need"):
        decoder.push(replace(packets[1_001 % 30], index=1_001))


@pytest.mark.parametrize("data", [b"", bytes(101)])
def test_empty_and_oversized_packets(clip: Clip, data: bytes) -> None:
    decoder = VideoDecoder(clip.header, VideoLimits(max_packet_bytes=100))
    with pytest.raises(VideoFormatError, match=f"packet 0 has {len(data)} bytes, 1 to 100 are taken"):
        decoder.push(VideoPacket(0, 0, 0, True, data))


def test_frames_larger_than_allowed_or_announced(clip: Clip) -> None:
    """The stream itself says 96x64, whatever the header claims."""
    small = replace(clip.header, width=32, height=32)
    with pytest.raises(VideoFormatError, match="can't be decoded"):
        push_all(small, list(clip.packets()), VideoLimits(max_pixels=32 * 32))
    with pytest.raises(VideoFormatError, match="frame 0 is 96x64, unlike the video"):
        push_all(small, list(clip.packets()))


@pytest.mark.parametrize("extremes", [(2**63 - 1, -(2**63) + 1), (-1, 2**63 - 1), (0, 0)])
def test_absurd_times_do_no_harm(clip: Clip, extremes: tuple[int, int]) -> None:
    header = replace(clip.header, time_base_num=2**32 - 1, time_base_den=0)
    packets = [replace(packet, pts=extremes[0], dts=extremes[1]) for packet in clip.packets()]
    decoder = VideoDecoder(header)
    sampled = [found for packet in packets for found in decoder.push(packet)] + decoder.finish()
    assert [number_of(frame) for _, frame in sampled] == sampled_indices(30)


@pytest.mark.parametrize("place", [0, 12])
@pytest.mark.parametrize("field", ["pts", "dts"])
def test_times_that_cannot_be_are_refused(clip: Clip, field: str, place: int) -> None:
    """Microseconds beyond 2^53 once reached the engine, and fitted into no reply."""
    packets = list(clip.packets())
    for ticks in (10**13, -(10**13), 2**63 - 1):
        late = packets[place]
        packets[place] = replace(late, pts=ticks) if field == "pts" else replace(late, dts=ticks)
        with pytest.raises(VideoFormatError, match="more than 285 years from its zero"):
            push_all(replace(clip.header, time_base_num=1, time_base_den=1), packets)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    times=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9), min_size=2, max_size=2),
    num=st.integers(0, 2**32 - 1),
    den=st.integers(0, 2**32 - 1),
)
def test_no_clip_names_a_time_that_cannot_be(times: list[int], num: int, den: int) -> None:
    """Whatever times and base: the video is refused, or its frames' names fit into every message."""
    header = VideoHeader("mjpeg", b"", WIDTH, HEIGHT, sum(at != NOT_SHOWN for at in times) or 1, num, den)
    decoder = VideoDecoder(header, count=2)
    with suppress(VideoFormatError):
        for index, (at, data) in enumerate(zip(times, JPEGS, strict=True)):
            decoder.push(VideoPacket(index, at, max(at, -(2**63) + 1), True, data))
        decoder.finish()
    finished = Finished(FinishReason.STOP, 1, frames=tuple(decoder.names))
    assert codec.decode_cloud_message(codec.encode_cloud_message(finished)) == finished


def test_the_latest_time_that_can_be() -> None:
    assert ticks_us(LARGEST, 1, 1_000_000) == LARGEST
    for ticks in (LARGEST + 1, -LARGEST - 1):
        with pytest.raises(VideoFormatError, match="285 years"):
            ticks_us(ticks, 1, 1_000_000)


def test_damaged_packets_are_refused_or_harmless(clip: Clip) -> None:
    packets = list(clip.packets())
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        chosen = int(random.integers(0, 30))
        data = bytearray(packets[chosen].data)
        for at in random.integers(0, len(data), 4):
            data[at] = int(random.integers(0, 256))
        damaged = [*packets]
        damaged[chosen] = replace(packets[chosen], data=bytes(data))
        try:
            push_all(clip.header, damaged)
        except VideoFormatError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_garbage_for_every_codec(codec: str) -> None:
    random = np.random.default_rng(1)
    for extradata in (b"", random.bytes(60)):
        header = VideoHeader(codec, extradata, 64, 48, 4, 1, 25)
        packets = [VideoPacket(index, index, index, True, random.bytes(400)) for index in range(4)]
        with pytest.raises(VideoFormatError):
            push_all(header, packets)
