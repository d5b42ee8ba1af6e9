"""A video as encoded packets: what the edge reads from a clip and the cloud decodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What a decoder needs before the first packet. `frames` packets follow, one frame each."""

    codec: str
    extradata: bytes
    width: int
    height: int
    frames: int
    time_base_num: int
    time_base_den: int


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One encoded packet, in decoding order; `pts` and `dts` in units of the header's time base."""

    index: int
    pts: int
    dts: int
    keyframe: bool
    data: bytes
