"""What an engine process may say to its front, checked like any peer's word: `Ready`, `Told`, `Broken`.

The engine is the one process that runs native code over what strangers send. If it is broken into, or just broken, the
front must go on: what isn't one of these words, within these sizes, is nonsense, and ends the engine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cloud.engine_wire import BROKEN, OUT, READY, pack, unpack
from cloud.messages import FrameSpec
from common import codec
from common.errors import MessageError
from common.types import CloudMessage, Opened, ServerInfo

_LONGEST_TEXT = 2_000  # characters of what an engine says of itself
_MOST = {"size": 2_048, "count": 1_024, "tokens": 65_536, "hidden": 131_072}  # of a `FrameSpec`
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Ready:
    """The target is loaded."""

    info: ServerInfo
    frames: FrameSpec


@dataclass(frozen=True, slots=True)
class Told:
    """Something for the edge of a session: `body` is the contract's own bytes of `message`."""

    session_id: str
    message: CloudMessage
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The engine can't start, is about to end, or has mended itself: a line for the operator."""

    text: str


EngineWord = Ready | Told | Broken


def most_bytes(max_answer_tokens: int) -> int:
    """The longest frame of an engine's word: a resumed answer of so many tokens, and what else is in a message."""
    return (64 << 10) + 8 * max_answer_tokens


def pack_ready(info: ServerInfo, frames: FrameSpec) -> list[bytes]:
    """The engine's first word."""
    return pack(READY, "", asdict(frames), body=codec.encode_info(info))


def pack_told(session_id: str, message: CloudMessage) -> list[bytes]:
    """For an edge. Raises MessageError: a value fits into no message."""
    return pack(OUT, session_id, body=codec.encode_cloud_message(message))


def pack_broken(text: str) -> list[bytes]:
    """For the operator."""
    return pack(BROKEN, "", text.encode("utf-8", "replace").decode()[:_LONGEST_TEXT])


def read_word(frames: list[bytes]) -> EngineWord:
    """What an engine says.

    Raises:
        MessageError: it is nonsense.
    """
    kind, session_id, extra, body = unpack(frames)
    if kind == OUT:
        message = codec.decode_cloud_message(body)
        if isinstance(message, Opened) and message.session_id != session_id:
            raise MessageError("it opened a session in the name of another")
        return Told(session_id, message, body)
    if len(extra) != 1:
        raise MessageError(f"{kind[:40]!r} with {len(extra)} fields")
    if kind == BROKEN and isinstance(extra[0], str):
        return Broken(extra[0][:_LONGEST_TEXT])
    if kind == READY:
        return Ready(codec.decode_info(body), _spec(extra[0]))
    raise MessageError(f"{kind[:40]!r} is none of its words")


def _spec(values: Any) -> FrameSpec:
    if not isinstance(values, dict) or values.keys() != FrameSpec.__dataclass_fields__.keys():
        raise MessageError("it says of its frames something else than is asked")
    spec = FrameSpec(**values)
    for name, most in _MOST.items():
        number = getattr(spec, name)
        least = 1 if name in ("size", "count") else 0
        if type(number) is not int or not least <= number <= most:
            raise MessageError(f"it wants frames whose {name} isn't between {least} and {most:,}")
    for text in (spec.dtype, spec.vision_fingerprint):
        if not isinstance(text, str) or len(text) > _LONGEST_NAME:
            raise MessageError("it says of its frames something else than is asked")
    if spec.dtype and spec.dtype not in codec.ITEM_SIZES:
        raise MessageError("it wants features of an element type that isn't known")
    return spec
