"""A video as encoded packets: what the edge reads from a clip and the cloud decodes. Or as the target's features."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import VideoFormatError
from common.live import LiveWindow
from common.types import LARGEST, Tensor

NOT_SHOWN = -(2**63)
LEAST_PIECE = 512  # bytes of a packet's or features' piece that others follow
VIDEO_FRAMES = 8  # of a video, that Video-LLaVA looks at, as it was trained


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What a decoder needs before the first packet.

    Attributes:
        codec: FFmpeg's name of the format, such as `h264` or `av1`.
        extradata: the codec's parameter sets, as the container keeps them; may be empty.
        width: columns of every frame.
        height: rows of every frame.
        frames: number of frames that are shown. At least as many packets follow: see `VideoPacket.shown`.
        time_base_num: numerator of the time base, in seconds.
        time_base_den: its denominator.
        ahead: the video comes before its question; the stream's id names a clip, not a session.
        acknowledge: every message of the stream is to be acknowledged.
        live: the stream is live and has no length (`frames` is 0): how it is cut. Then, and with `named`, a packet's
            index is its frame's number in the stream; numbers grow, and may be left out in front of a keyframe.
        named: numbers of the frames that the target looks at, in place of its usual choice.
    """

    codec: str
    extradata: bytes
    width: int
    height: int
    frames: int
    time_base_num: int
    time_base_den: int
    ahead: bool = False
    acknowledge: bool = False
    live: LiveWindow | None = None
    named: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One encoded packet, in decoding order; `pts` and `dts` in units of the header's time base.

    `pts` is `NOT_SHOWN` for a packet that others need for decoding, but that nobody sees: in front of the cut of a
    trimmed clip, or a codec's own reference picture. `continued`: on the wire, `data` goes on in the next packet, which
    repeats everything else; then it has at least `LEAST_PIECE` bytes.
    """

    index: int
    pts: int
    dts: int
    keyframe: bool
    data: bytes
    continued: bool = False

    @property
    def shown(self) -> bool:
        """True if the packet's frame is one of the header's `frames`."""
        return self.pts != NOT_SHOWN


def ticks_us(ticks: int, num: int, den: int) -> int:
    """A time in units of a time base, in microseconds; 0 where the base is unknown (`den` 0).

    Raises:
        VideoFormatError: the time is none that can be: further than 2^53 microseconds (285 years) from zero.
    """
    time_us = ticks * num * 1_000_000 // den if den else 0
    if not -LARGEST <= time_us <= LARGEST:
        raise VideoFormatError(
            f"the video has a picture at {ticks:.3g} times {num}/{den} s, more than 285 years from its zero: its time "
            "stamps are damaged, encode the clip again"
        )
    return time_us


def check_times(packet: VideoPacket, num: int, den: int) -> None:
    """Raise VideoFormatError if a packet is to be decoded or shown at a time that can't be."""
    ticks_us(packet.dts, num, den)
    if packet.shown:
        ticks_us(packet.pts, num, den)


@dataclass(frozen=True, slots=True)
class FeaturesHeader:
    """What a cloud must know before the first features: whose they are, and of how many frames.

    `vision_fingerprint` is the hash of the vision side that makes them (`common.vision.TargetVision`).
    `acknowledge`: every message of the stream is to be acknowledged.
    """

    vision_fingerprint: str
    frames: int
    acknowledge: bool = False


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """The features [tokens a frame, hidden] of one frame; `index` is its place among those that the target looks at.

    `size`: on the wire, the tensor's data are a piece of so many bytes; 0: they are whole. Pieces come in order,
    each of at least `LEAST_PIECE` bytes but the last.
    """

    index: int
    features: Tensor
    size: int = 0
