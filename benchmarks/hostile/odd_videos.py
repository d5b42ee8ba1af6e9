"""Videos that cost more than they weigh: pieces of nothing, features a byte at a time, live floods."""

from __future__ import annotations

from functools import cache

from benchmarks.hostile.attackers import SIDE, Attack, jpeg
from common import codec
from common.live import LiveWindow
from common.types import Tensor
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket

_MICROSECONDS = (1, 1_000_000)


@cache
def _empty_pieces(count: int) -> bytes:
    return codec.encode_video_packets([VideoPacket(0, 0, 0, True, b"", continued=True)] * count)


@cache
def _single_bytes(shape: tuple[int, int]) -> bytes:
    piece = FrameFeatures(0, Tensor("float32", shape, b"\x00"), 4 * shape[0] * shape[1])
    return codec.encode_features([piece] * 4_000)


def _header(num: int, den: int, frames: int = 8) -> VideoHeader:
    return VideoHeader("mjpeg", b"", SIDE, SIDE, frames, num, den)


async def _send(attack: Attack, messages: list[bytes]) -> None:
    await attack.say(attack.call("StreamVideo"), messages)


async def pieces_of_nothing(attack: Attack) -> None:
    """A packet that goes on and on, without a byte in it."""
    session_id = attack.session_id
    message = _empty_pieces(attack.chance.choice([1, 1_000, 4_000]))
    await _send(attack, [codec.encode_video_header(session_id, _header(1, 30)), *[message] * 40])


async def features_by_bytes(attack: Attack) -> None:
    """The features of one frame, a byte at a time."""
    session_id = attack.session_id
    about = FeaturesHeader(attack.vision_fingerprint, 8)
    messages = [codec.encode_features_header(session_id, about)]
    await _send(attack, messages + [_single_bytes(attack.features_shape)] * 4)


async def live_flood(attack: Attack) -> None:
    """A live stream with all its pictures at once, and times that jump."""
    window = LiveWindow(20_000, 4_096)
    clip = attack.session_id
    header = VideoHeader("mjpeg", b"", SIDE, SIDE, 0, *_MICROSECONDS, ahead=True, live=window)
    messages = [codec.encode_video_header(clip, header)]
    for number in range(0, 2_000, 50):
        at = [(number + n) * attack.chance.choice([1, 20_000, 2**40]) for n in range(50)]
        packets = [VideoPacket(number + n, t, t, True, jpeg()) for n, t in enumerate(sorted(at))]
        messages.append(codec.encode_video_packets(packets))
    await _send(attack, messages)
