"""Decodes a video as its packets arrive, and keeps only the frames that the target looks at.

Packets come from another machine: codecs are named in a list, sizes are bounded before memory is taken, and a frame
that the decoder had to guess at is refused.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import VideoFormatError
from common.types import FrameName
from common.video import check_times, ticks_us
from common.video_limits import DECODERS, VideoLimits, check_header, wanted_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.video import VideoHeader, VideoPacket

_HIDDEN_PER_SHOWN = (
    1  # packets that aren't shown, for each that is, at most; and some more at the cut of a trimmed clip
)
_HIDDEN_AT_CUT = 1_000

Sampled = list[tuple[int, "NDArray[np.uint8]"]]


class VideoDecoder:
    """One video. Frames are numbered in the order of presentation, whatever order their packets come in.

    Where the header names the frames that are wanted, a frame's number is its packet's index.
    After a `VideoFormatError` the decoder is of no more use.

    Attributes:
        names: the wanted frames that came out so far, one a place.
    """

    def __init__(self, header: VideoHeader, limits: VideoLimits | None = None, *, count: int = 8) -> None:
        """Prepare for the packets of a video, of which `count` frames are wanted.

        Raises:
            VideoFormatError: the codec isn't taken, or the header makes no sense or is over a limit.
        """
        self._limits = limits or VideoLimits()
        self._header = header
        check_header(header, self._limits)
        self._wanted = wanted_frames(header, self._limits, count)
        self.names: list[FrameName] = []
        self._last = -1  # index of the last packet
        self._context = open_decoder(header, self._limits)
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
        return self._decode(encoded_packet(packet))

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
        if len(self.names) != len(self._wanted):
            raise VideoFormatError("the video doesn't have all the frames that its header names")
        return sampled

    def _check_packet(self, packet: VideoPacket) -> None:
        check_order(packet, self._last, gaps=Gaps.ANYWHERE if self._header.named else Gaps.NOWHERE)
        check_times(packet, self._header.time_base_num, self._header.time_base_den)
        self._last = packet.index
        shown = self._packets - len(self._hidden) + packet.shown
        hidden = len(self._hidden) + (not packet.shown)
        if shown > self._header.frames or hidden > self._header.frames * _HIDDEN_PER_SHOWN + _HIDDEN_AT_CUT:
            raise VideoFormatError(
                f"the video has more packets than its header's {self._header.frames} frames need: the clip is damaged"
            )
        check_size(packet, self._limits)

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
        check_frame(frame, number, self._header)
        if self._header.named:
            number = frame.opaque
        places = [place for place, index in enumerate(self._wanted) if index == number]
        if not places:
            return []
        self.names += [FrameName(number, time_us(self._header, frame.pts))] * len(places)
        picture = rgb(frame)
        return [(place, picture) for place in places]


def open_decoder(header: VideoHeader, limits: VideoLimits) -> Any:
    """FFmpeg's decoder of a video whose header was checked; each frame's `opaque` is its packet's index."""
    import av

    try:
        context: Any = av.CodecContext.create(DECODERS[header.codec], "r")
        context.extradata = header.extradata or None
        context.width, context.height = header.width, header.height  # some formats' packets don't say
        context.thread_count = 1
        context.copy_opaque = True
        context.options = {"max_pixels": str(limits.max_pixels)}
    except (av.FFmpegError, ValueError, OSError) as error:
        raise VideoFormatError(f"no decoder for {header.codec}: {error}") from error
    return context


def encoded_packet(packet: VideoPacket) -> Any:
    """A packet as FFmpeg wants it."""
    import av

    encoded = av.Packet(packet.data)
    encoded.pts = packet.pts if packet.shown else None
    encoded.dts = packet.dts
    encoded.opaque = packet.index
    return encoded


class Gaps(Enum):
    """Where packets' indices may leave numbers out."""

    NOWHERE = "nowhere"
    AT_KEYFRAMES = "at keyframes"
    ANYWHERE = "anywhere"


def check_order(packet: VideoPacket, last: int, *, gaps: Gaps) -> None:
    """Raise VideoFormatError if a packet doesn't follow the one of index `last` (-1: none).

    Where there may be gaps, the first packet is a keyframe's.
    """
    due = last + 1
    if gaps is Gaps.NOWHERE:
        fits = packet.index == due
    elif last < 0:
        fits = packet.keyframe
    else:
        fits = packet.index == due or (packet.index > due and (packet.keyframe or gaps is Gaps.ANYWHERE))
    if not fits:
        raise VideoFormatError(f"packet {packet.index} came where {due} was due: send the video again")


def check_size(packet: VideoPacket, limits: VideoLimits) -> None:
    """Raise VideoFormatError if a packet is empty or too large."""
    size, largest = len(packet.data), limits.max_packet_bytes
    if not 0 < size <= largest:
        raise VideoFormatError(f"packet {packet.index} has {size:,} bytes, 1 to {largest:,} are taken")


def check_frame(frame: Any, number: int, header: VideoHeader) -> None:
    """Raise VideoFormatError if a decoded frame is damaged, or of another size than the header says."""
    if frame.is_corrupt:
        raise VideoFormatError(f"frame {number} of the video is damaged: copy or encode the clip again")
    if (frame.width, frame.height) != (header.width, header.height):
        raise VideoFormatError(f"frame {number} is {frame.width}x{frame.height}, unlike the video: encode it again")


def rgb(frame: Any) -> NDArray[np.uint8]:
    """A decoded frame as RGB uint8 [H, W, 3], made without threads: a decoding child can't start any."""
    picture: NDArray[np.uint8] = frame.reformat(format="rgb24", threads=1).to_ndarray()
    return picture


def time_us(header: VideoHeader, pts: int | None) -> int:
    """A presentation time in microseconds; 0 where none is known. Raises VideoFormatError: it can't be."""
    return 0 if pts is None else ticks_us(pts, header.time_base_num, header.time_base_den)
