"""What a decoding child is asked, and what it answers, as bytes. Pure.

Each message is a length, a head in JSON of that length, and the bytes that the head speaks of. A child may have been
taken over by what it decodes: of its answer nothing is believed that doesn't fit what was asked.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import VideoFormatError
from common.live import LiveWindow
from common.types import LARGEST, FrameName
from common.video import VideoHeader, VideoPacket
from common.video_limits import VideoLimits

_LENGTH = struct.Struct("!I")
_MAX_HEAD = 1 << 20
_NONSENSE = "the decoder's answer makes no sense: the video is damaged or hostile; encode it again"

Buffers = list[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Opening:
    """A video begins: what it is and may be, the frames that are looked at, and the side of a cropped one."""

    header: VideoHeader
    limits: VideoLimits
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Work:
    """Packets that came (the last ones, if `ended`): decode up to the next group."""

    packets: tuple[VideoPacket, ...]
    ended: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Worked:
    """What a child made of its work: frames, uint8 [n, size, size, 3], their names, and packets that still wait."""

    crops: NDArray[np.uint8]
    names: tuple[FrameName, ...]
    waiting: int


def encode_request(request: Opening | Work) -> Buffers:
    """The bytes of a request."""
    if isinstance(request, Opening):
        header = asdict(replace(request.header, extradata=b"")) | {"extradata": None}
        head = {"open": header, "limits": asdict(request.limits), "count": request.count, "size": request.size}
        return [_head(head), request.header.extradata]
    rows = [[p.index, p.pts, p.dts, p.keyframe, len(p.data)] for p in request.packets]
    return [_head({"packets": rows, "ended": request.ended}), *(packet.data for packet in request.packets)]


def decode_request(data: bytes) -> Opening | Work:
    """A request; the parent's bytes are trusted."""
    head, rest = _split(memoryview(data))
    if "open" in head:
        fields = head["open"] | {"extradata": bytes(rest), "named": tuple(head["open"]["named"])}
        live = fields["live"] and LiveWindow(**fields["live"])
        header = VideoHeader(**(fields | {"live": live}))
        return Opening(header, VideoLimits(**head["limits"]), head["count"], head["size"])
    packets, at = [], 0
    for index, pts, dts, keyframe, size in head["packets"]:
        packets.append(VideoPacket(index, pts, dts, keyframe, bytes(rest[at : at + size])))
        at += size
    return Work(tuple(packets), head["ended"])


def encode_reply(worked: Worked | None) -> Buffers:
    """The bytes of a reply; None: the video has begun."""
    if worked is None:
        return [_head({})]
    names = [[name.number, name.time_us] for name in worked.names]
    return [_head({"names": names, "waiting": worked.waiting}), np.ascontiguousarray(worked.crops).reshape(-1).data]


def decode_reply(data: memoryview, *, size: int, most: int, before: int) -> Worked:
    """A child's reply to `Work`.

    Args:
        data: its bytes.
        size: side of a frame.
        most: frames that may be in it.
        before: packets that waited before; at least one of them must be done.

    Raises:
        VideoFormatError: it isn't an answer to what was asked.
    """
    try:
        head, rest = _split(data)
        names, waiting = _names(head["names"], most), _count(head["waiting"], max(0, before - 1))
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise VideoFormatError(_NONSENSE) from error
    if len(rest) != len(names) * size * size * 3:
        raise VideoFormatError(_NONSENSE)
    return Worked(np.frombuffer(rest, np.uint8).reshape(len(names), size, size, 3), names, waiting)


def _head(values: dict[str, Any]) -> bytes:
    text = json.dumps(values, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


def _split(data: memoryview) -> tuple[dict[str, Any], memoryview]:
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    if length > min(_MAX_HEAD, len(data) - _LENGTH.size):
        raise ValueError("the head is too long")
    head = json.loads(bytes(data[_LENGTH.size : end]))
    if not isinstance(head, dict):
        raise TypeError("the head is no object")
    return head, data[end:]


def _names(rows: Any, most: int) -> tuple[FrameName, ...]:
    if not isinstance(rows, list) or len(rows) > most:
        raise ValueError("too many frames")
    return tuple(FrameName(_count(number, LARGEST), _time(time_us)) for number, time_us in rows)


def _count(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("no such number")
    return value


def _time(value: Any) -> int:
    if type(value) is not int or abs(value) > LARGEST:
        raise ValueError("no such time")
    return value
