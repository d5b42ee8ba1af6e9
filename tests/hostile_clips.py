"""Clips that lie, by a seeded generator: packets as hostile edges send them, and files as hostile askers name them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av

from benchmarks.hostile.mutations import mutated
from common.live import LiveWindow
from common.video import NOT_SHOWN, VideoHeader, VideoPacket
from common.video_limits import CODECS
from edge.video import open_clip
from tests.clips import encode

_ENCODERS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("a.mp4", "libx264", {"bf": "2"}),
    ("b.mp4", "libx265", {"x265-params": "log-level=none"}),
    ("c.avi", "mpeg4", {}),
    ("d.avi", "msmpeg4", {}),
    ("e.webm", "libvpx", {}),
    ("f.webm", "libvpx-vp9", {}),
    ("g.mov", "mjpeg", {}),
)
_FAR = (0, 1, -1, 2**31, 10**13, 2**53, 2**62, -(2**62))
_SIDES = (1, 2, 7, 64, 96, 4_096, 65_535, 8_388_608)


@dataclass
class Video:
    """A header and packets, both free to lie."""

    header: VideoHeader
    packets: list[VideoPacket]


def honest_videos(folder: Path) -> list[Video]:
    """A short one of each codec."""
    clips = [open_clip(encode(folder / name, encoder, 10, options=options)) for name, encoder, options in _ENCODERS]
    return [Video(clip.header, list(clip.packets())) for clip in clips]


def hostile_video(videos: Sequence[Video], chance: random.Random) -> Video:
    """One of them after one to three changes."""
    video = chance.choice(videos)
    video = Video(video.header, list(video.packets))
    for _ in range(chance.randint(1, 3)):
        video = chance.choice(_CHANGES)(video, videos, chance)
    return video


def _times(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    base = chance.choice([(1, 1), (0, 0), (2**31 - 1, 1), (1, 2**31 - 1), (-1, 25), (25, -1)])
    header = replace(video.header, time_base_num=base[0], time_base_den=base[1])
    start, step = chance.choice(_FAR), chance.choice(_FAR)
    moved = [
        replace(p, pts=p.pts if not p.shown else _fit(start + n * step), dts=_fit(start + n * step))
        for n, p in enumerate(video.packets)
    ]
    return Video(header, moved)


def _fit(value: int) -> int:
    return max(-(2**63) + 1, min(2**63 - 1, value))


def _sides(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    return replace(video, header=replace(video.header, width=chance.choice(_SIDES), height=chance.choice(_SIDES)))


def _count(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    return replace(video, header=replace(video.header, frames=chance.choice([0, 1, 2, 9, 11, 20_000, 2**31 - 1])))


def _codec(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    name = chance.choice([*sorted(CODECS), "png", "gif", "subrip", "", "rawvideo"])
    return replace(video, header=replace(video.header, codec=name))


def _extradata(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    data = chance.choice([b"", b"\xff" * 64, chance.randbytes(500), video.header.extradata[:-3]])
    return replace(video, header=replace(video.header, extradata=data))


def _bytes(video: Video, others: Sequence[Video], chance: random.Random) -> Video:
    splices = [packet.data for other in others for packet in other.packets]
    return Video(
        video.header,
        [replace(p, data=mutated(p.data, chance, splices)) if chance.random() < 0.4 else p for p in video.packets],
    )


def _order(video: Video, others: Sequence[Video], chance: random.Random) -> Video:
    packets = list(video.packets)
    match chance.randrange(5):
        case 0:
            chance.shuffle(packets)
        case 1:
            packets = packets[: chance.randrange(len(packets) + 1)]
        case 2:
            packets = packets * 3
        case 3:
            packets = [replace(p, data=p.data[: chance.randrange(len(p.data) + 1)]) for p in packets]
        case _:
            packets = [*packets, *chance.choice(others).packets]
    return Video(video.header, [replace(p, index=n) for n, p in enumerate(packets)])


def _shown(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    hidden = [replace(p, pts=NOT_SHOWN) if chance.random() < 0.5 else p for p in video.packets]
    return Video(video.header, [replace(p, keyframe=chance.random() < 0.5) for p in hidden])


def _named(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    named = chance.choice([(0,) * 8, tuple(range(8)), (1, 0), (2**31 - 1,) * 8, tuple(range(100))])
    return replace(video, header=replace(video.header, named=named))


def _live(video: Video, _: Sequence[Video], chance: random.Random) -> Video:
    window = LiveWindow(chance.choice([20_000, 500_000, 3_600_000_000]), chance.choice([1, 8, 64, 4_096]))
    header = replace(video.header, live=window, ahead=True, time_base_num=1, time_base_den=1_000_000)
    return replace(video, header=replace(header, frames=chance.choice([0, 0, 5])))


_CHANGES: tuple[Callable[[Video, Sequence[Video], random.Random], Video], ...] = (
    _times, _sides, _count, _codec, _extradata, _bytes, _order, _shown, _named, _live,
)  # fmt: skip


def hostile_files(folder: Path, chance: random.Random, damaged: int) -> list[Path]:
    """Files that look like clips: of everything but a video, and damaged ones."""
    made = [_cover_only(folder / "cover.mp4"), _no_frames(folder / "nothing.mkv"), _sound_only(folder / "s.mp4")]
    for name, data in (("empty.mp4", b""), ("zeros.mp4", bytes(5_000)), ("noise.avi", chance.randbytes(20_000))):
        (folder / name).write_bytes(data)
        made.append(folder / name)
    whole = [encode(folder / f"whole-{name}", encoder, 10, options=options) for name, encoder, options in _ENCODERS]
    contents = [path.read_bytes() for path in whole]
    for number in range(damaged):
        source = chance.randrange(len(whole))
        path = folder / f"damaged-{number}{whole[source].suffix}"
        path.write_bytes(mutated(contents[source], chance, contents))
        made.append(path)
    return made


def _cover_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        (cover,) = open_clip(encode(path.with_suffix(".mov"), "mjpeg", 1)).packets()
        packet = av.Packet(cover.data)
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        container.mux(packet)
    return path


def _no_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    return path


def _sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8_000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1_024)
        frame.sample_rate = 8_000
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
