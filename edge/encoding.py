"""Encodes pictures for the way up, one packet a picture, at once. PyAV is imported when it is needed.

`h264` is x264 tuned for no delay: no frame waits for a later one. Nothing but the first picture, and those that are
asked for, is intra as a whole; a column of intra blocks wanders over the others instead, so sizes stay even, and the
rate control's buffer holds one stride's worth of the rate, so that no picture takes the line for longer. `jpeg`
pictures stand alone: larger, but each can be used, or left out, without the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.errors import SettingsError, VideoFormatError
from common.live import MICROSECONDS
from common.video import VideoHeader, VideoPacket

if TYPE_CHECKING:
    from fractions import Fraction

H264, JPEG = "h264", "jpeg"
CODECS = (H264, JPEG)
MOST_SIDE = 448  # pixels of the shorter side: twice of what the target's vision tower looks at
_FORMATS = {H264: ("libx264", "yuv420p", "h264"), JPEG: ("mjpeg", "yuvj420p", "mjpeg")}
_JPEG_QUALITY = "3"  # FFmpeg's scale: 2 is the best, 31 the worst


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How pictures are encoded.

    Attributes:
        codec: `h264` or `jpeg`.
        rate: pictures a second.
        kbps: most kilobits a second that H.264 may take.
        refresh: pictures in which H.264's intra column passes over the whole.
        most_side: pixels that the shorter side may have; larger pictures are scaled down.
    """

    codec: str
    rate: Fraction
    kbps: int = 2000
    refresh: int = 8
    most_side: int = MOST_SIDE

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise SettingsError(f"a video can be encoded as {' or '.join(CODECS)}, not {self.codec!r}")


class PictureEncoder:
    """Encodes pictures of one size. `header` says what comes out; its `frames` is for the user to fill in."""

    def __init__(self, width: int, height: int, settings: EncoderSettings) -> None:
        """Prepare for pictures of that size, which must be at least 2x2."""
        self._width, self._height = fitted_size(width, height, settings.most_side)
        self._settings = settings
        name, self._format, codec = _FORMATS[settings.codec]
        self._context = self._open(name)
        self._first = True
        num, den = MICROSECONDS
        self.header = VideoHeader(codec, b"", self._width, self._height, 0, num, den)

    def _open(self, name: str) -> Any:
        import av

        settings = self._settings
        try:
            context: Any = av.CodecContext.create(name, "w")
        except (av.FFmpegError, ValueError) as error:
            raise VideoFormatError(f"this FFmpeg has no encoder {name}: install PyAV's usual build") from error
        context.width, context.height = self._width, self._height
        context.pix_fmt = self._format
        context.framerate = settings.rate
        context.time_base = _time_base()
        context.thread_count = 1
        context.options = _h264_options(settings) if settings.codec == H264 else _JPEG_OPTIONS
        return context

    def encode(self, frame: Any, number: int, time_us: int, *, keyframe: bool = False) -> VideoPacket:
        """Encode a picture (an `av.VideoFrame` of any size and format).

        Args:
            frame: the picture.
            number: its number, the packet's index.
            time_us: when it was taken, after all before.
            keyframe: decoding shall be able to start here.

        Raises:
            VideoFormatError: it can't be encoded.
        """
        import av

        keyframe = keyframe or self._first or self._settings.codec == JPEG
        try:
            picture = frame.reformat(width=self._width, height=self._height, format=self._format)
            if picture is frame:
                picture = av.VideoFrame.from_ndarray(frame.to_ndarray(), format=self._format)
            picture.pts, picture.time_base = time_us, _time_base()
            intra = av.video.frame.PictureType.I if keyframe else av.video.frame.PictureType.NONE
            picture.pict_type = intra
            (packet,) = self._context.encode(picture)
        except (av.FFmpegError, ValueError, OverflowError, OSError) as error:
            raise VideoFormatError(f"picture {number} can't be encoded: {error}") from error
        self._first = False
        return VideoPacket(number, time_us, time_us, keyframe, bytes(packet))


_JPEG_OPTIONS = {"qmin": _JPEG_QUALITY, "qmax": _JPEG_QUALITY}


def _h264_options(settings: EncoderSettings) -> dict[str, str]:
    buffer = max(1, int(settings.kbps / settings.rate))
    return {
        "preset": "veryfast",
        "tune": "zerolatency",
        "crf": "20",
        "maxrate": f"{settings.kbps}k",
        "bufsize": f"{buffer}k",
        "intra-refresh": "1",
        "g": str(settings.refresh),
        "forced-idr": "1",
        "x264-params": "scenecut=0:repeat-headers=1",
    }


def fitted_size(width: int, height: int, most_side: int) -> tuple[int, int]:
    """Width and height, even, scaled down so that the shorter side has at most `most_side` pixels."""
    scale = min(1.0, most_side / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _time_base() -> Fraction:
    from fractions import Fraction

    return Fraction(*MICROSECONDS)
