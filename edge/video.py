"""Reads a local clip's encoded packets, untouched, and writes clips of our own. PyAV is imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import VideoFormatError
from common.video import VideoHeader, VideoPacket


@dataclass(frozen=True, slots=True)
class Clip:
    """A local video: its header, and its packets in decoding order (read anew with every call)."""

    path: Path
    header: VideoHeader

    def packets(self) -> Iterator[VideoPacket]:
        """The encoded packets.

        Raises:
            VideoFormatError: the file changed or is broken.
        """
        with _opened(self.path) as container:
            yield from _packets(container)


def open_clip(
    path: str | Path, *, max_bytes: int = 256 << 20, max_frames: int = 20_000, max_pixels: int = 16_777_216
) -> Clip:
    """Look at a clip and count its frames (by its packets: nothing is decoded).

    Args:
        path: any container and codec that FFmpeg reads.
        max_bytes: size of the file, at most.
        max_frames: frames, at most.
        max_pixels: width times height, at most.

    Raises:
        VideoFormatError: the file is unreadable, truncated, without video, or over a limit.
    """
    path = Path(path)
    if not path.is_file():
        raise VideoFormatError(f"there is no video file {path}")
    if path.stat().st_size > max_bytes:
        raise VideoFormatError(f"{path} has {path.stat().st_size} bytes, at most {max_bytes} are allowed: cut it")
    with _opened(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if not 0 < context.width * context.height <= max_pixels:
            raise VideoFormatError(f"{path} is {context.width} x {context.height}: scale it to {max_pixels} pixels")
        frames = sum(1 for _ in _packets(container))
        if not 0 < frames <= max_frames:
            raise VideoFormatError(f"{path} has {frames} frames; 1 to {max_frames} are allowed")
        base = stream.time_base or Fraction(1, 1000)
        header = VideoHeader(
            codec=context.name,
            extradata=bytes(context.extradata or b""),
            width=context.width,
            height=context.height,
            frames=frames,
            time_base_num=base.numerator,
            time_base_den=base.denominator,
        )
    return Clip(path, header)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoFormatError(f"{path} has no video in it")
            yield container
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise VideoFormatError(f"can't read the video {path}: {error}") from error


def _packets(container: Any) -> Iterator[VideoPacket]:
    index = 0
    for packet in container.demux(video=0):
        if packet.size == 0:  # the end mark
            continue
        if packet.is_corrupt:
            raise VideoFormatError(f"packet {index} of {container.name} is damaged: the file is cut short or broken")
        dts = packet.dts if packet.dts is not None else index
        pts = packet.pts if packet.pts is not None else dts
        yield VideoPacket(index, pts, dts, packet.is_keyframe, bytes(packet))
        index += 1


def write_video(
    path: str | Path, frames: Sequence[NDArray[np.uint8]], *, fps: int, crf: int = 12, codec: str = "libx264"
) -> None:
    """Encode RGB frames, uint8 [height, width, 3] of even sizes, as H.264."""
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
