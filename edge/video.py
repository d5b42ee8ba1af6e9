"""Reads a local clip's encoded packets, untouched, and writes clips of our own. PyAV is imported when it is needed."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import PathError, VideoFormatError
from common.named_files import EVERYTHING, Allowed, open_named
from common.video import NOT_SHOWN, VideoHeader, VideoPacket, check_times
from edge.matroska import missing_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

MAX_BYTES, MAX_FRAMES, MAX_PIXELS = 256 * 2**20, 20_000, 16_777_216
# Containers proper: FFmpeg would also follow playlists, which name other files and addresses.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,ivf,h264,hevc,m4v,mjpeg"
_FRAME_IS_SHOWN = 0x10  # bit of a VP8 packet's first byte


@dataclass(frozen=True, slots=True)
class Clip:
    """A local video: its header, and its packets in decoding order (read anew with every call)."""

    path: Path
    header: VideoHeader
    allowed: Allowed = EVERYTHING

    def packets(self) -> Iterator[VideoPacket]:
        """The encoded packets, as they are in the file.

        Raises:
            VideoFormatError: the file changed or is damaged.
        """
        with _opened(self.path, self.allowed) as (container, stream):
            yield from _packets(container, stream)

    def pictures(self) -> Iterator[Any]:
        """The decoded frames (`av.VideoFrame`), in the order of presentation.

        Raises:
            VideoFormatError: the file changed or is damaged.
        """
        with _opened(self.path, self.allowed) as (container, stream):
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield from container.decode(stream)

    def recorded(self) -> Iterator[tuple[float, VideoPacket]]:
        """The packets, each with the moment at which its picture has been taken, in seconds since the recording began.

        An exposure ends when the next one begins; the last moment is the clip's length. 0 where no time is known.

        Raises:
            VideoFormatError: the file changed or is damaged.
        """
        header = self.header
        tick = header.time_base_num / header.time_base_den if header.time_base_den else 0.0
        first: int | None = None
        previous = 0.0
        for packet in self.packets():
            first = packet.dts if first is None else first
            at = (packet.dts - first) * tick
            yield at + (at - previous), packet
            previous = at


def open_clip(
    path: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    allowed: Allowed = EVERYTHING,
) -> Clip:
    """Look at a clip and count its frames by its packets; nothing is decoded.

    Args:
        path: any usual container; the cloud names the codecs that it takes.
        max_bytes: size of the file, at most.
        max_frames: frames, at most.
        max_pixels: width times height, at most.
        allowed: which files may be named.

    Raises:
        VideoFormatError: the file is missing, no regular file, unreadable, truncated, without video, or over a limit.
            The message names the file and says what to do.
    """
    path = Path(path)
    with _opened(path, allowed, max_bytes) as (container, stream):
        context = stream.codec_context
        if not 0 < context.width * context.height <= max_pixels:
            raise VideoFormatError(
                f"{path} is {context.width}x{context.height}, at most {max_pixels:,} pixels are taken: scale it down"
            )
        frames, packets = _count(container, stream, path, max_frames)
        cut = packets < stream.frames and frames == packets  # a trimmed clip may leave packets out
        if frames == 0 or cut:
            raise VideoFormatError(f"{path} ends after {frames} of {stream.frames or 'its'} frames: copy it again")
        base = _time_base(stream)
        header = VideoHeader(
            codec=context.codec.canonical_name,
            extradata=bytes(context.extradata or b""),
            width=context.width,
            height=context.height,
            frames=frames,
            time_base_num=base.numerator,
            time_base_den=base.denominator,
        )
    return Clip(path, header, allowed)


def read_frames(
    path: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    allowed: Allowed = EVERYTHING,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode a clip, frame by frame, in the order of presentation; same bounds and errors as `open_clip`.

    Yields:
        Time in microseconds from the first frame on, and the picture, RGB uint8 [H, W, 3].
    """
    path = Path(path)
    clip = open_clip(path, max_bytes=max_bytes, max_frames=max_frames, max_pixels=max_pixels, allowed=allowed)
    first: int | None = None
    with _opened(path, allowed) as (container, stream):
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        for number, frame in enumerate(container.decode(stream)):
            pts = number if frame.pts is None else int(frame.pts)
            first = pts if first is None else first
            seconds = Fraction(pts - first) * Fraction(clip.header.time_base_num, clip.header.time_base_den)
            yield int(seconds * 1_000_000), frame.to_ndarray(format="rgb24")


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: int | Fraction,
    crf: int = 12,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode pictures as H.264 (or another codec of FFmpeg's); the name decides the container.

    Args:
        path: such as `clip.mp4`.
        frames: RGB uint8 [H, W, 3], at least one, all of one size with even sides.
        fps: frames a second.
        crf: constant rate factor of x264: 0 is lossless, 23 usual, 51 the worst.
        codec: FFmpeg's name of an encoder.
        options: further options of the encoder.

    Raises:
        VideoFormatError: there are no frames, they don't fit, or the file can't be written.
    """
    import av

    try:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=fps, options={"crf": str(crf), **(options or {})})
            size: tuple[int, int] | None = None
            for frame in frames:
                if size is None:
                    size = stream.height, stream.width = _even(frame)
                    stream.pix_fmt = "yuv420p"
                if frame.shape != (*size, 3) or frame.dtype != np.uint8:
                    raise VideoFormatError(
                        f"every frame must be uint8 {[*size, 3]}, not {frame.dtype} {[*frame.shape]}"
                    )
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            if size is None:
                raise VideoFormatError(f"there are no frames to write to {path}")
            container.mux(stream.encode(None))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoFormatError(f"can't write the video {path}: {error}") from error


def _even(frame: NDArray[np.uint8]) -> tuple[int, int]:
    """(height, width) of the first frame."""
    if frame.ndim != 3 or frame.shape[0] % 2 or frame.shape[1] % 2 or 0 in frame.shape:
        raise VideoFormatError(f"H.264 needs pictures of even sides, not {[*frame.shape]}; crop or pad them")
    return int(frame.shape[0]), int(frame.shape[1])


def _check_file(path: Path, file: io.FileIO, max_bytes: int | None) -> None:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise VideoFormatError(f"{path} is empty; copy it again")
    if max_bytes is not None and size > max_bytes:
        raise VideoFormatError(f"{path} has {size:,} bytes, at most {max_bytes:,} are taken: cut or compress it")
    if (missing := missing_bytes(file, size)) > 0:
        raise VideoFormatError(f"{path} is cut short, {missing:,} bytes are missing: copy it again")
    file.seek(0)


@contextmanager
def _opened(path: Path, allowed: Allowed, max_bytes: int | None = None) -> Iterator[tuple[Any, Any]]:
    """The container of a regular file, and its first moving picture (a song's cover is none)."""
    import av

    try:
        file = open_named(path, allowed)
    except PathError as error:
        raise VideoFormatError(f"there is no video file {path}: it {error}") from error
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}
    try:
        with file:
            _check_file(path, file, max_bytes)
            with av.open(file, options=options) as container:
                moving = [stream for stream in container.streams.video if not _is_cover(stream)]
                if not moving:
                    found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                    raise VideoFormatError(f"{path} has no video in it (found: {found}); give a clip")
                if moving[0].codec_context is None:
                    raise VideoFormatError(f"{path} has a codec that FFmpeg doesn't know here: encode it as H.264")
                yield container, moving[0]
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "what it holds makes no sense"
        raise VideoFormatError(
            f"can't read the video {path}: {reason}; it is damaged or of an unknown format"
        ) from error


def _is_cover(stream: Any) -> bool:
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _count(container: Any, stream: Any, path: Path, max_frames: int) -> tuple[int, int]:
    """Frames that are shown, and packets."""
    frames = packets = 0
    for packet in _packets(container, stream):
        frames, packets = frames + packet.shown, packets + 1
        if packets > max_frames:
            raise VideoFormatError(f"{path} has more than {max_frames:,} frames: cut it")
    return frames, packets


def _packets(container: Any, stream: Any) -> Iterator[VideoPacket]:
    vp8 = stream.codec_context.codec.canonical_name == "vp8"
    base, index = _time_base(stream), 0
    for packet in container.demux(stream):
        if packet.size == 0:  # the end mark
            continue
        if packet.is_corrupt:
            raise VideoFormatError(f"{container.name} is cut short or damaged at frame {index}: copy it again")
        data = bytes(packet)
        dts = index if packet.dts is None else packet.dts
        pts = dts if packet.pts is None else packet.pts
        hidden = packet.is_discard or (vp8 and not data[0] & _FRAME_IS_SHOWN)
        made = VideoPacket(index, NOT_SHOWN if hidden else pts, dts, packet.is_keyframe, data)
        check_times(made, base.numerator, base.denominator)
        yield made
        index += 1


def _time_base(stream: Any) -> Fraction:
    return stream.time_base or Fraction(1, 1000)
