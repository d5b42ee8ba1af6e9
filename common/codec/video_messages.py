"""A video on its own connection, as packets or as features, and what the cloud says to it."""

from __future__ import annotations

from collections.abc import Iterable

from eventspec.v1 import speculation_pb2 as pb

from common.codec.parsing import check_id, encoder, parse, within
from common.codec.tensors import tensor_from, tensor_to
from common.errors import MessageError
from common.live import LiveWindow
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket

MAX_ITEMS = 4_096  # packets or features in one message
VideoMessage = tuple[str, VideoHeader | FeaturesHeader | None, tuple[VideoPacket, ...] | tuple[FrameFeatures, ...]]


@encoder
def encode_video_header(session_id: str, header: VideoHeader, packets: Iterable[VideoPacket] = ()) -> bytes:
    """First `StreamVideoRequest` bytes of a video: what it is, and its first packets."""
    message = pb.StreamVideoRequest(
        session_id=session_id,
        header=pb.VideoHeader(
            codec=header.codec,
            extradata=header.extradata,
            width=header.width,
            height=header.height,
            frames=header.frames,
            time_base_num=header.time_base_num,
            time_base_den=header.time_base_den,
            ahead=header.ahead,
            acknowledge=header.acknowledge,
            live=None
            if header.live is None
            else pb.LiveWindow(stride_us=header.live.stride_us, cells=header.live.cells),
            named=header.named,
        ),
    )
    _add_packets(message, packets)
    return message.SerializeToString()


@encoder
def encode_video_packets(packets: Iterable[VideoPacket]) -> bytes:
    """Later `StreamVideoRequest` bytes of a video."""
    message = pb.StreamVideoRequest()
    _add_packets(message, packets)
    return message.SerializeToString()


def _add_packets(message: pb.StreamVideoRequest, packets: Iterable[VideoPacket]) -> None:
    for p in packets:
        message.packets.add(
            index=p.index, pts=p.pts, dts=p.dts, keyframe=p.keyframe, data=p.data, continued=p.continued
        )


@encoder
def encode_features_header(session_id: str, header: FeaturesHeader) -> bytes:
    """First `StreamVideoRequest` bytes of a video that comes as features."""
    about = pb.FeaturesHeader(
        vision_fingerprint=header.vision_fingerprint, frames=header.frames, acknowledge=header.acknowledge
    )
    return pb.StreamVideoRequest(session_id=session_id, features_header=about).SerializeToString()


@encoder
def encode_features(features: Iterable[FrameFeatures]) -> bytes:
    """Later `StreamVideoRequest` bytes of a video that comes as features."""
    message = pb.StreamVideoRequest()
    for f in features:
        message.features.add(index=f.index, features=tensor_to(f.features), size=f.size)
    return message.SerializeToString()


def decode_video_message(data: bytes) -> VideoMessage:
    """A `StreamVideoRequest`: session id and header (first message only), and packets or features.

    Raises:
        MessageError: malformed, or packets and features in one.
    """
    m = parse(pb.StreamVideoRequest, data)
    if max(len(m.packets), len(m.features)) > MAX_ITEMS:
        raise MessageError(f"a message may have {MAX_ITEMS:,} packets, or features, at most: send them in several")
    if m.session_id:
        check_id(m.session_id, "session_id")
    if m.HasField("features_header") or m.features:
        if m.HasField("header") or m.packets:
            raise MessageError("a video comes as packets or as features, not as both")
        about = m.features_header
        announced = None
        if m.HasField("features_header"):
            announced = FeaturesHeader(about.vision_fingerprint, about.frames, about.acknowledge)
        return m.session_id, announced, tuple(_features_from(f) for f in m.features)
    header = None
    if m.HasField("header"):
        h = m.header
        header = VideoHeader(
            codec=h.codec,
            extradata=h.extradata,
            width=h.width,
            height=h.height,
            frames=h.frames,
            time_base_num=h.time_base_num,
            time_base_den=h.time_base_den,
            ahead=h.ahead,
            acknowledge=h.acknowledge,
            live=_window_from(h.live) if h.HasField("live") else None,
            named=tuple(within(number, "a frame's number") for number in h.named),
        )
    packets = tuple(VideoPacket(p.index, p.pts, p.dts, p.keyframe, p.data, p.continued) for p in m.packets)
    return m.session_id, header, packets


def _window_from(m: pb.LiveWindow) -> LiveWindow:
    try:
        return LiveWindow(m.stride_us, m.cells)
    except ValueError as error:
        raise MessageError(str(error)) from error


def _features_from(m: pb.FrameFeatures) -> FrameFeatures:
    size = within(m.size, "size")
    return FrameFeatures(m.index, tensor_from(m.features, size), size)


@encoder
def encode_video_acknowledgement(received: int) -> bytes:
    """`StreamVideoResponse` bytes before the last: how many bytes of messages have come."""
    return pb.StreamVideoResponse(received=received).SerializeToString()


def decode_video_acknowledgement(data: bytes) -> int | None:
    """Bytes that have come; None: the last `StreamVideoResponse`."""
    return within(parse(pb.StreamVideoResponse, data).received, "received") or None


@encoder
def encode_video_reply(frames: int, size: int) -> bytes:
    """`StreamVideoResponse` bytes."""
    return pb.StreamVideoResponse(frames=frames, bytes=size).SerializeToString()


def decode_video_reply(data: bytes) -> tuple[int, int]:
    """The last `StreamVideoResponse`: frames and bytes."""
    m = parse(pb.StreamVideoResponse, data)
    return m.frames, within(m.bytes, "bytes")
