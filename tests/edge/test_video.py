"""Clips at the edge: counted and passed on untouched, and refused where they are broken, cut short or too large."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from common.errors import VideoFormatError
from edge.video import open_clip, read_frames, write_video
from tests.clips import HEIGHT, WIDTH, decode_all, encode, jpegs, matroska, number_of, picture, trim
from tests.edge.events.recordings import recording


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", options={"bf": "3"})


def test_header_and_untouched_packets(clip: Path) -> None:
    opened = open_clip(clip)
    assert (opened.header.codec, opened.header.width, opened.header.height) == ("h264", WIDTH, HEIGHT)
    assert opened.header.frames == 30
    packets = list(opened.packets())
    assert [packet.index for packet in packets] == list(range(30))
    assert packets[0].keyframe
    assert all(packet.shown for packet in packets)
    dts = [packet.dts for packet in packets]
    assert dts == sorted(dts)
    assert [packet.pts for packet in packets] != sorted(packet.pts for packet in packets)  # there are B-frames
    with av.open(str(clip)) as container:
        stored = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        assert [packet.data for packet in packets] == stored
        assert opened.header.extradata == container.streams.video[0].codec_context.extradata
    assert [packet.data for packet in opened.packets()] == stored  # again


@pytest.mark.parametrize(("name", "codec", "frames"), [("vtest.avi", "msmpeg4v3", 795), ("bikes.mp4", "h264", 250)])
def test_real_clips_are_counted(name: str, codec: str, frames: int) -> None:
    header = open_clip(recording(name)).header
    assert (header.codec, header.frames) == (codec, frames)


def test_written_clips_come_back(tmp_path: Path) -> None:
    frames = [picture(index) for index in range(12)]
    write_video(tmp_path / "own.mp4", iter(frames), fps=16, crf=10)
    read = list(read_frames(tmp_path / "own.mp4"))
    assert [t for t, _ in read] == [index * 62_500 for index in range(12)]
    for (_, frame), made in zip(read, frames, strict=True):
        assert frame.dtype == np.uint8
        assert np.abs(frame[20:].astype(int) - made[20:]).mean() < 8  # colour is stored at half the resolution


def test_a_lower_quality_takes_fewer_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frames = list(random.integers(0, 256, (6, 64, 96, 3), dtype=np.uint8))
    for crf in (10, 40):
        write_video(tmp_path / f"{crf}.mp4", frames, fps=10, crf=crf)
    assert (tmp_path / "40.mp4").stat().st_size < (tmp_path / "10.mp4").stat().st_size / 2


def test_frames_before_the_cut_of_a_trimmed_clip_are_not_shown(clip: Path, tmp_path: Path) -> None:
    trimmed = trim(clip, tmp_path / "trimmed.mp4", Fraction(55, 100))
    opened = open_clip(trimmed)
    packets = list(opened.packets())
    shown = [number_of(frame) for frame in decode_all(trimmed)]
    assert len(packets) == 30
    assert opened.header.frames == sum(packet.shown for packet in packets) == len(shown) < 30
    assert [number_of(frame) for _, frame in read_frames(trimmed)] == shown


CONTAINERS = [
    ("clip.mp4", {}, "libx264"),
    ("fast.mp4", {"movflags": "+faststart"}, "libx264"),
    ("clip.mkv", {}, "libx264"),
    ("clip.webm", {}, "libvpx-vp9"),
    ("clip.avi", {}, "mpeg4"),
    ("clip.mov", {}, "mjpeg"),
]


@pytest.mark.parametrize(("name", "muxer", "codec"), CONTAINERS, ids=[name for name, _, _ in CONTAINERS])
def test_truncated_clips_are_refused(tmp_path: Path, name: str, muxer: dict[str, str], codec: str) -> None:
    whole = encode(tmp_path / name, codec, muxer=muxer)
    assert open_clip(whole).header.frames == 30
    contents = whole.read_bytes()
    cut = tmp_path / f"cut_{name}"
    for share in (0.02, 0.3, 0.6, 0.9):
        cut.write_bytes(contents[: int(len(contents) * share)])
        with pytest.raises(VideoFormatError, match=f"cut_{name}"):
            open_clip(cut)


def test_a_clip_cut_between_two_frames_is_refused(tmp_path: Path) -> None:
    whole = encode(tmp_path / "fast.mp4", "libx264", muxer={"movflags": "+faststart"})
    with av.open(str(whole)) as container:
        begins = sorted(packet.pos for packet in container.demux(video=0) if packet.size and packet.pos)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: begins[20]])
    with pytest.raises(VideoFormatError, match=r"cut\.mp4 ends after 20 of 30 frames"):
        open_clip(tmp_path / "cut.mp4")


def test_files_that_are_no_video(tmp_path: Path, clip: Path) -> None:
    for name, contents, message in [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"hello world\n" * 100, "can't read the video"),
        ("playlist.mp4", f"ffconcat version 1.0\nfile '{clip}'\n".encode(), "can't read the video"),
        ("stream.mp4", f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{clip}\n".encode(), "can't read"),
    ]:
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(VideoFormatError, match=message) as caught:
            open_clip(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(VideoFormatError, match=r"no video file .*absent\.mp4"):
        open_clip(tmp_path / "absent.mp4")
    with pytest.raises(VideoFormatError, match="no video file"):
        open_clip(tmp_path)


def test_a_playlist_would_be_followed_without_the_list_of_containers(tmp_path: Path, clip: Path) -> None:
    """So that the test above can't pass by accident."""
    (tmp_path / "playlist.mp4").write_text(f"ffconcat version 1.0\nfile '{clip.name}'\n")
    (tmp_path / clip.name).write_bytes(clip.read_bytes())
    assert len(decode_all(tmp_path / "playlist.mp4")) == 30


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream: Any = container.add_stream("aac", rate=8_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoFormatError, match=r"sound\.mp4 has no video in it \(found: audio\)"):
        open_clip(tmp_path / "sound.mp4")


def test_times_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "far.mkv"
    path.write_bytes(matroska(jpegs(), scale=10**9, times=[10**13 + n for n in range(8)]))
    with pytest.raises(VideoFormatError, match="more than 285 years from its zero") as caught:
        open_clip(path)
    assert "\n" not in str(caught.value)


def test_pictures_that_are_seconds_apart(tmp_path: Path) -> None:
    path = tmp_path / "slow.mkv"
    path.write_bytes(matroska(jpegs(), scale=10**9, times=[10 * n for n in range(8)]))
    header = open_clip(path).header
    assert (header.frames, header.time_base_num, header.time_base_den) == (8, 1, 1)


def test_limits(clip: Path) -> None:
    with pytest.raises(VideoFormatError, match=r"clip\.mp4 has [\d,]+ bytes, at most 1,000 are taken"):
        open_clip(clip, max_bytes=1_000)
    with pytest.raises(VideoFormatError, match="more than 29 frames"):
        open_clip(clip, max_frames=29)
    with pytest.raises(VideoFormatError, match="96x64, at most 6,143 pixels"):
        open_clip(clip, max_pixels=WIDTH * HEIGHT - 1)
    assert open_clip(clip, max_frames=30, max_pixels=WIDTH * HEIGHT).header.frames == 30
    with pytest.raises(VideoFormatError, match="more than 29 frames"):
        next(read_frames(clip, max_frames=29))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([np.zeros((5, 6, 3), np.uint8)], "even sides"),
        ([np.zeros((4, 6), np.uint8)], "even sides"),
        ([np.zeros((4, 6, 3), np.float32)], "uint8"),
        ([np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)], r"must be uint8 \[16, 16, 3\]"),
    ],
)
def test_frames_that_cannot_be_written(tmp_path: Path, frames: list[Any], message: str) -> None:
    with pytest.raises(VideoFormatError, match=message):
        write_video(tmp_path / "own.mp4", frames, fps=10)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(VideoFormatError, match="can't write the video"):
        write_video(tmp_path / "nowhere" / "own.mp4", [picture(0)], fps=10)


def test_a_codec_that_ffmpeg_doesnt_know(tmp_path: Path) -> None:
    """Found by fuzzing: there is a stream then, but nothing that could decode it."""
    path = tmp_path / "clip.mkv"
    write_video(path, [np.zeros((16, 16, 3), dtype=np.uint8)] * 3, fps=10)
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/AVX"))
    with pytest.raises(VideoFormatError, match="codec that FFmpeg doesn't know"):
        open_clip(path)
