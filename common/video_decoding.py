"""Decodes a video as its packets arrive, and keeps only the frames that the target looks at.

Packets come from another machine: codecs are named in a list, sizes are bounded before memory is taken, and a frame
that the decoder had to guess at is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import VideoFormatError
from common.video_sampling import sampled_indices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.video import VideoHeader, VideoPacket

# FFmpeg's names of the formats that are taken, and of the decoders that read them
_DECODERS = {
    "h264": "h264",
    "hevc": "hevc",
    "vp8": "vp8",
    "vp9": "vp9",
    "av1": "libdav1d",
    "mjpeg": "mjpeg",
    "mpeg4": "mpeg4",
    "msmpeg4v3": "msmpeg4",
}
CODECS = frozenset(_DECODERS)
_MAX_EXTRADATA = 1 << 20
_HIDDEN_PER_SHOWN = (
    1  # packets that aren't shown, for each that is, at most; and some more at the cut of a trimmed clip
)
_HIDDEN_AT_CUT = 1_000

Sampled = list[tuple[int, "NDArray[np.uint8]"]]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may be, at most."""

    max_frames: int = 20_000
    max_pixels: int = 16_777_216
    max_packet_bytes: int = 16 << 20


class VideoDecoder:
    """One video. Frames are numbered in the order of presentation, whatever order their packets come in.

    After a `VideoFormatError` the decoder is of no more use.
    """

    def __init__(self, header: VideoHeader, limits: VideoLimits | None = None, *, count: int = 8) -> None:
        """Prepare for the packets of a video, of which `count` frames are wanted.

        Raises:
            VideoFormatError: the codec isn't taken, or the header makes no sense or is over a limit.
        """
        self._limits = limits or VideoLimits()
        self._header = header
        self._check_header()
        self._wanted = sampled_indices(header.frames, count)
        self._context = self._open()
        self._hidden: set[int] = set()  # packets whose frames are not to be shown
        self._packets = 0
        self._frames = 0

    def push(self, packet: VideoPacket) -> Sampled:
        """Decode a packet.

        Returns:
            The wanted frames that came out, as (place among the wanted, RGB uint8 [H, W, 3]). Where a video has fewer
            frames than are wanted, a frame comes with several places.

        Raises:
            VideoFormatError: the packet is damaged, out of order or over a limit, or one more than the header says.
        """
        self._check_packet(packet)
        self._packets += 1
        if not packet.shown:
            self._hidden.add(packet.index)
        return self._decode(self._encoded(packet))

    def finish(self) -> Sampled:
        """The wanted frames that the decoder still held back, as `push`.

        Raises:
            VideoFormatError: the video has fewer frames than its header says, or its end is damaged.
        """
        sampled = self._decode(None)
        if self._frames != self._header.frames:
            raise VideoFormatError(
                f"the video has {self._frames} frames, but its header says {self._header.frames}: the clip is damaged"
            )
        return sampled

    def _check_header(self) -> None:
        header, limits = self._header, self._limits
        if header.codec not in CODECS:
            known = ", ".join(sorted(CODECS))
            raise VideoFormatError(f"codec {header.codec[:40]!r} isn't taken: encode the clip as one of {known}")
        if not 1 <= header.frames <= limits.max_frames:
            raise VideoFormatError(
                f"the video has {header.frames:,} frames, 1 to {limits.max_frames:,} are taken: cut it"
            )
        if header.width < 1 or header.height < 1 or header.width * header.height > limits.max_pixels:
            raise VideoFormatError(
                f"the video is {header.width}x{header.height}, at most {limits.max_pixels:,} pixels are taken: "
                "scale it down"
            )
        if len(header.extradata) > _MAX_EXTRADATA:
            raise VideoFormatError(f"the video's header has {len(header.extradata):,} bytes: the clip is damaged")

    def _open(self) -> Any:
        import av

        header = self._header
        try:
            context: Any = av.CodecContext.create(_DECODERS[header.codec], "r")
            context.extradata = header.extradata or None
            context.width, context.height = header.width, header.height  # some formats' packets don't say
            context.thread_count = 1
            context.copy_opaque = True
            context.options = {"max_pixels": str(self._limits.max_pixels)}
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoFormatError(f"no decoder for {header.codec}: {error}") from error
        return context

    def _check_packet(self, packet: VideoPacket) -> None:
        if packet.index != self._packets:
            raise VideoFormatError(f"packet {packet.index} came where {self._packets} was due: send the video again")
        shown = self._packets - len(self._hidden) + packet.shown
        hidden = len(self._hidden) + (not packet.shown)
        if shown > self._header.frames or hidden > self._header.frames * _HIDDEN_PER_SHOWN + _HIDDEN_AT_CUT:
            raise VideoFormatError(
                f"the video has more packets than its header's {self._header.frames} frames need: the clip is damaged"
            )
        size, largest = len(packet.data), self._limits.max_packet_bytes
        if not 0 < size <= largest:
            raise VideoFormatError(f"packet {packet.index} has {size:,} bytes, 1 to {largest:,} are taken")

    def _encoded(self, packet: VideoPacket) -> Any:
        import av

        encoded = av.Packet(packet.data)
        encoded.pts = packet.pts if packet.shown else None
        encoded.dts = packet.dts
        encoded.opaque = packet.index
        return encoded

    def _decode(self, encoded: Any) -> Sampled:
        import av

        try:
            decoded = self._context.decode(encoded)
        except (av.FFmpegError, ValueError, OSError, EOFError) as error:
            raise VideoFormatError(f"the video can't be decoded after frame {self._frames}: {error}") from error
        return [sampled for frame in decoded if frame.opaque not in self._hidden for sampled in self._take(frame)]

    def _take(self, frame: Any) -> Sampled:
        """Number a frame, and turn it into a picture for each place at which it is wanted."""
        number = self._frames
        self._frames += 1
        if number >= self._header.frames:
            raise VideoFormatError(f"the video has more than the {self._header.frames} frames of its header")
        if frame.is_corrupt:
            raise VideoFormatError(f"frame {number} of the video is damaged: copy or encode the clip again")
        if (frame.width, frame.height) != (self._header.width, self._header.height):
            raise VideoFormatError(f"frame {number} is {frame.width}x{frame.height}, unlike the video: encode it again")
        places = [place for place, index in enumerate(self._wanted) if index == number]
        if not places:
            return []
        picture = frame.to_ndarray(format="rgb24")
        return [(place, picture) for place in places]
