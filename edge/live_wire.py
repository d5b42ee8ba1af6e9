"""What a child that takes live pictures is asked, and what it answers, as bytes. Pure.

A reply is a length, a head in JSON of that length, and the bytes that the head speaks of. The child decodes what
cameras and strangers send, so its replies are checked like anything else from the wire.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from common.errors import EventFormatError, VideoFormatError
from common.live import LIVE_CODECS, MICROSECONDS, LiveWindow
from common.named_files import Allowed
from common.types import LARGEST
from common.video import VideoHeader, VideoPacket
from edge.encoding import EncoderSettings
from edge.events.wire import columns_of, packed
from edge.live_hosts import HostRules, Network
from edge.live_source import LiveSource

if TYPE_CHECKING:
    from edge.events.types import Events

_LENGTH = struct.Struct("!I")
_MOST_SIDE = 8_192
_NONSENSE = "what takes its pictures sent nonsense: the stream is damaged or hostile"


@dataclass(frozen=True, slots=True)
class Taking:
    """Pictures of a source, one a cell of the window, encoded; and, if `simulate`, the events of all of them."""

    source: LiveSource
    window: LiveWindow
    encoding: EncoderSettings
    simulate: bool


@dataclass(frozen=True, slots=True)
class TakenPicture:
    """A picture that was taken and encoded, how it must be decoded, and how long ago it was taken, in seconds."""

    packet: VideoPacket
    header: VideoHeader
    age_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What came since; the last if `ended`, which `error` may explain."""

    items: list[TakenPicture | Events]
    ended: bool = False
    error: str = ""


def encode_taking(taking: Taking) -> bytes:
    """The bytes of what is to be taken."""
    source, encoding, hosts = taking.source, taking.encoding, taking.source.hosts
    values = {
        "name": source.name,
        "loop": source.loop,
        "roots": source.allowed.roots,
        "kinds": [kind.value for kind in hosts.kinds],
        "networks": [str(network) for network in hosts.networks],
        "names": sorted(hosts.names),
        "redirects": hosts.redirects,
        "window": [taking.window.stride_us, taking.window.cells],
        "encoding": [encoding.codec, str(encoding.rate), encoding.kbps, encoding.refresh, encoding.most_side],
        "simulate": taking.simulate,
    }
    return json.dumps(values).encode()


def decode_taking(data: bytes) -> Taking:
    """What is to be taken; the parent's bytes are trusted."""
    values = json.loads(data)
    hosts = HostRules(
        frozenset(Network(kind) for kind in values["kinds"]),
        tuple(ipaddress.ip_network(network) for network in values["networks"]),
        frozenset(values["names"]),
        values["redirects"],
    )
    allowed = Allowed(None if values["roots"] is None else tuple(values["roots"]))
    codec, rate, *sizes = values["encoding"]
    return Taking(
        LiveSource(values["name"], values["loop"], hosts, allowed),
        LiveWindow(*values["window"]),
        EncoderSettings(codec, Fraction(rate), *sizes),
        values["simulate"],
    )


def encode_taken(taken: Taken) -> list[bytes | memoryview]:
    """The bytes of a reply."""
    rows: list[list[Any]] = []
    parts: list[bytes | memoryview] = []
    for item in taken.items:
        if isinstance(item, TakenPicture):
            packet, header = item.packet, item.header
            codec = [header.codec, header.width, header.height]
            rows.append([len(packet.data), packet.index, packet.pts, packet.keyframe, item.age_s, *codec])
            parts.append(packet.data)
        else:
            events = list(packed(item))
            rows.append([sum(memoryview(part).nbytes for part in events)])
            parts += events
    head = json.dumps({"items": rows, "ended": taken.ended, "error": taken.error}).encode()
    return [_LENGTH.pack(len(head)), head, *parts]


def decode_taken(data: memoryview, window: LiveWindow) -> Taken:
    """A child's reply.

    Raises:
        VideoFormatError: it makes no sense.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        at = _LENGTH.size + length
        head = json.loads(bytes(data[_LENGTH.size : at]))
        items: list[TakenPicture | Events] = []
        for size, *row in head["items"]:
            part = data[at : at + _number(size, len(data) - at)]
            items.append(_picture(part, row, window) if row else columns_of(part))
            at += size
        return Taken(items, bool(head["ended"]), _text(head["error"]))
    except (ValueError, KeyError, TypeError, RecursionError, struct.error, EventFormatError) as error:
        raise VideoFormatError(_NONSENSE) from error


def _picture(data: memoryview, row: list[Any], window: LiveWindow) -> TakenPicture:
    index, pts, keyframe, age_s, codec, width, height = row
    if codec not in LIVE_CODECS or not isinstance(age_s, float) or not 0 <= age_s < 1e6 or not data:
        raise ValueError("no picture")
    sides = _number(width, _MOST_SIDE), _number(height, _MOST_SIDE)
    if min(sides) < 2:
        raise ValueError("no sides")
    packet = VideoPacket(_number(index, LARGEST), _number(pts, LARGEST), pts, bool(keyframe), bytes(data))
    return TakenPicture(packet, VideoHeader(codec, b"", *sides, 0, *MICROSECONDS, live=window, ahead=True), age_s)


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("no such number")
    return value


def _text(value: Any) -> str:
    text = str(value)[:1_000]
    return "".join(one if one.isprintable() else "?" for one in text)
