"""Clips made up for tests: moving bars with a number's worth of bright squares, so that every frame is its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

WIDTH, HEIGHT = 96, 64


def picture(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frame `index`: a bar that moves, and `index` in binary as squares of 8 pixels along the top."""
    frame = np.full((height, width, 3), 40, np.uint8)
    frame[16:, (2 * index) % (width - 8) : (2 * index) % (width - 8) + 8] = (200, 60, 30)
    for bit in range(8):
        frame[:8, 8 * bit : 8 * bit + 8] = 235 if index >> bit & 1 else 16
    return frame


def number_of(frame: NDArray[np.uint8]) -> int:
    """The index that `picture` wrote into a frame, after decoding."""
    return sum((int(frame[2:6, 8 * bit + 2 : 8 * bit + 6].mean()) > 128) << bit for bit in range(8))


def encode(
    path: Path,
    codec: str,
    frames: int = 30,
    *,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Path:
    """Encode `frames` pictures at 10 frames a second; skips the test where FFmpeg was built without the encoder."""
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream: Any = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(frames):
            shown = picture(index, width=width, height=height)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def jpegs(count: int = 8) -> list[bytes]:
    """So many pictures, each a JPEG."""
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = WIDTH, HEIGHT, "yuvj420p", Fraction(1, 10)
    made = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format="yuvj420p")
        frame.pts = index
        made += [bytes(packet) for packet in context.encode(frame)]
    return made


def matroska(pictures: list[bytes], *, scale: int, times: list[int]) -> bytes:
    """A small Matroska file of JPEGs: `scale` nanoseconds a tick, and each picture's time in ticks."""

    def element(name: str, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8, "big") + body

    def number(value: int) -> bytes:
        return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")

    size = element("B0", number(WIDTH)), element("BA", number(HEIGHT))
    track = [element("D7", b"\x01"), element("73C5", b"\x01"), element("83", b"\x01"), element("86", b"V_MJPEG")]
    clusters = [
        element("1F43B675", element("E7", number(at)), element("A3", b"\x81\0\0\x80" + data))
        for at, data in zip(times, pictures, strict=True)
    ]
    info = element("1549A966", element("2AD7B1", number(scale)))
    tracks = element("1654AE6B", element("AE", *track, element("E0", *size)))
    head = element("1A45DFA3", element("4282", b"matroska"), element("4287", b"\x04"), element("4285", b"\x02"))
    return head + element("18538067", info, tracks, *clusters)


def trim(source: Path, target: Path, seconds: Fraction) -> Path:
    """Cut the beginning off without encoding anew, as phones do: the packets stay, an edit list hides them."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy: Any = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        shift = int(seconds / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                new.mux(packet)
    return target


def decode_all(path: Path) -> list[NDArray[np.uint8]]:
    """Every frame of a file, RGB, as FFmpeg shows them."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
