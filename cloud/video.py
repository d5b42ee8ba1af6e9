"""Decodes a video as its packets arrive, and keeps only the frames that the target looks at."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import VideoFormatError
from common.video import VideoHeader, VideoPacket

CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "mpeg4", "msmpeg4"})
_DECODERS = {"av1": "libdav1d"}

Sampled = list[tuple[int, NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may be, at most."""

    max_frames: int = 20_000
    max_pixels: int = 16_777_216
    max_packet_bytes: int = 16 << 20


def sampled_indices(total: int, count: int = 8) -> list[int]:
    """The frames that Video-LLaVA looks at: evenly spread, first and last included, some twice if there are few."""
    return [int(i) for i in np.linspace(0, total - 1, count)]


class VideoDecoder:
    """One video. Frames are numbered in presentation order, whatever order their packets come in.

    Raises:
        VideoFormatError: at any call: the codec isn't allowed, a packet is damaged, a limit is exceeded.
    """

    def __init__(self, header: VideoHeader, limits: VideoLimits | None = None, *, count: int = 8) -> None:
        import av

        self._limits = limits or VideoLimits()
        self._header = header
        self._check_header()
        self._wanted = sampled_indices(header.frames, count)
        self._next = 0  # number of the next decoded frame
        self._seen = 0
        name = header.codec.removeprefix("lib")
        try:
            context: Any = av.CodecContext.create(_DECODERS.get(name, name), "r")
            if header.extradata:
                context.extradata = header.extradata
            context.width, context.height = header.width, header.height
            context.thread_count = 1
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoFormatError(f"no decoder for {header.codec}: {error}") from error
        self._context = context
        self._base = Fraction(header.time_base_num, header.time_base_den)

    def _check_header(self) -> None:
        header, limits = self._header, self._limits
        if header.codec not in CODECS and header.codec not in _DECODERS.values():
            raise VideoFormatError(f"codec {header.codec!r} isn't taken: encode as one of {', '.join(sorted(CODECS))}")
        if not 1 <= header.frames <= limits.max_frames:
            raise VideoFormatError(f"the video has {header.frames} frames; 1 to {limits.max_frames} are allowed")
        if not 0 < header.width * header.height <= limits.max_pixels:
            raise VideoFormatError(f"the video is {header.width} x {header.height}: at most {limits.max_pixels} pixels")
        if header.time_base_num <= 0 or header.time_base_den <= 0:
            raise VideoFormatError("the video's time base makes no sense")

    def push(self, packet: VideoPacket) -> Sampled:
        """Decode a packet; the frames looked at that came out, as (place among them, RGB uint8 [H, W, 3])."""
        import av

        self._seen += 1
        if self._seen > self._header.frames:
            raise VideoFormatError(f"the video has more than the {self._header.frames} frames of its header")
        if not 0 < len(packet.data) <= self._limits.max_packet_bytes:
            raise VideoFormatError(f"packet {packet.index} has {len(packet.data)} bytes")
        encoded = av.Packet(packet.data)
        encoded.pts, encoded.dts, encoded.time_base = packet.pts, packet.dts, self._base
        return self._decode(encoded)

    def finish(self) -> Sampled:
        """The frames that the decoder still held back."""
        frames = self._decode(None)
        if self._next != self._header.frames:
            raise VideoFormatError(
                f"the video has {self._next} frames, its header says {self._header.frames}: the file is damaged"
            )
        return frames

    def _decode(self, packet: Any) -> Sampled:
        import av

        try:
            decoded = self._context.decode(packet)
        except (av.FFmpegError, ValueError, OSError, EOFError) as error:
            raise VideoFormatError(f"the video can't be decoded after frame {self._next}: {error}") from error
        sampled: Sampled = []
        for frame in decoded:
            if frame.width * frame.height > self._limits.max_pixels:
                raise VideoFormatError(f"frame {self._next} is {frame.width} x {frame.height}")
            places = [place for place, index in enumerate(self._wanted) if index == self._next]
            if places:
                picture = frame.to_ndarray(format="rgb24")
                sampled += [(place, picture) for place in places]
            self._next += 1
        return sampled
