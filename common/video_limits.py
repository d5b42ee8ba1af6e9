"""What a video may be, and which of its frames are looked at: all that can be said without decoding. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import VideoFormatError
from common.live import LIVE_CODECS, MICROSECONDS
from common.video import VideoHeader
from common.video_sampling import sampled_indices

# FFmpeg's names of the formats that are taken, and of the decoders that read them
DECODERS = {
    "h264": "h264",
    "hevc": "hevc",
    "vp8": "vp8",
    "vp9": "vp9",
    "av1": "libdav1d",
    "mjpeg": "mjpeg",
    "mpeg4": "mpeg4",
    "msmpeg4v3": "msmpeg4",
}
CODECS = frozenset(DECODERS)
_MAX_EXTRADATA = 1 << 20


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may be, at most."""

    max_frames: int = 20_000
    max_pixels: int = 16_777_216
    max_packet_bytes: int = 16 << 20
    max_total_pixels: int = 64_000_000_000


def check_header(header: VideoHeader, limits: VideoLimits) -> None:
    """Raise VideoFormatError if the codec isn't taken, or sizes make no sense or are over a limit."""
    if header.codec not in CODECS:
        known = ", ".join(sorted(CODECS))
        raise VideoFormatError(f"codec {header.codec[:40]!r} isn't taken: encode the clip as one of {known}")
    if header.width < 1 or header.height < 1 or header.width * header.height > limits.max_pixels:
        raise VideoFormatError(
            f"the video is {header.width}x{header.height}, at most {limits.max_pixels:,} pixels are taken: "
            "scale it down"
        )
    total = header.width * header.height * header.frames
    if total > limits.max_total_pixels:
        raise VideoFormatError(
            f"the video has {total:,} pixels in all its frames, at most {limits.max_total_pixels:,} are decoded: "
            "scale it down, or cut it"
        )
    if len(header.extradata) > _MAX_EXTRADATA:
        raise VideoFormatError(f"the video's header has {len(header.extradata):,} bytes: the clip is damaged")


def wanted_frames(header: VideoHeader, limits: VideoLimits, count: int) -> list[int]:
    """The numbers of the `count` frames that are looked at, of a video that has an end.

    Raises:
        VideoFormatError: it has too many frames, or none, or names others than so many in order.
    """
    frames, most = header.frames, limits.max_frames
    if not 1 <= frames <= most:
        raise VideoFormatError(f"the video has {frames:,} frames, 1 to {most:,} are taken: cut it")
    if not header.named:
        return sampled_indices(frames, count)
    named = list(header.named)
    if len(named) != count or named != sorted(named):
        raise VideoFormatError(f"a video with named frames names the {count} that are looked at, in order")
    return named


def check_live_header(header: VideoHeader) -> None:
    """Raise VideoFormatError if a header makes no sense for a live stream."""
    if header.codec not in LIVE_CODECS:
        raise VideoFormatError(f"a live stream must be one of {', '.join(sorted(LIVE_CODECS))}, not {header.codec}")
    if header.frames or header.named or (header.time_base_num, header.time_base_den) != MICROSECONDS:
        raise VideoFormatError("a live stream counts in microseconds, and knows no number of frames")
