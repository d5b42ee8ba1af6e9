"""Messages between front and engine process: two ZeroMQ frames each, a msgpack head and raw bytes. No pickle.

The head is `[kind, session_id, ...]`. Bytes are the contract's own wherever the message is the edge's or for the edge.
An edge's message bears the time at which it came: it may have to wait for a pass, and both processes share one clock.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np

from cloud.messages import Alive, EngineMessage, Frames, LiveFrames, OpenClip, Park, VideoFailed
from common import codec
from common.errors import MessageError
from common.live import LiveWindow
from common.types import FrameName, Open

EDGE, CLIP, FRAMES, LIVE, VIDEO_FAILED, PARK, STOP = "edge", "clip", "frames", "live", "video_failed", "park", "stop"
_FRAME_TYPES = {False: np.float32, True: np.uint8}  # pixels, or features as bytes
ALIVE = "alive"
READY, OUT, BROKEN = "ready", "out", "broken"
HIGH_WATER = 64  # messages that wait on either side of the socket; then who sends waits
# what values that don't fit, or aren't what they should be, raise in msgpack, numpy and here
_NO_VALUE = (ValueError, TypeError, LookupError, OverflowError, AttributeError, RecursionError, msgpack.UnpackException)


def pack(kind: str, session_id: str = "", *extra: Any, body: bytes = b"") -> list[bytes]:
    """The two frames of a message. Raises MessageError: a value fits into none."""
    try:
        return [msgpack.packb([kind, session_id, *extra]), body]
    except _NO_VALUE as error:
        raise MessageError(f"a value of {kind!r} fits into no message between front and engine: {error}") from error


def unpack(frames: list[bytes]) -> tuple[str, str, list[Any], bytes]:
    """Kind, session id, further head fields, body. Raises MessageError: they are none of these."""
    if len(frames) != 2:
        raise MessageError(f"an engine message has two frames, not {len(frames)}")
    try:
        kind, session_id, *extra = msgpack.unpackb(frames[0])
    except _NO_VALUE as error:
        raise MessageError(f"an engine message's head isn't one: {error}") from error
    if not isinstance(kind, str) or not isinstance(session_id, str):
        raise MessageError("an engine message's head has no kind, or no session")
    return kind, session_id, extra, frames[1]


def pack_message(session_id: str, message: EngineMessage) -> list[bytes]:
    """Any message for the engine. Raises MessageError: a value fits into none."""
    try:
        return _packed(session_id, message)
    except _NO_VALUE as error:
        name = type(message).__name__
        raise MessageError(f"a value of {name} fits into no message between front and engine: {error}") from error


def _packed(session_id: str, message: EngineMessage) -> list[bytes]:
    match message:
        case Frames(pixels, first, decode_us, overruns, encoded, names):
            body = np.ascontiguousarray(pixels, dtype=_FRAME_TYPES[encoded]).tobytes()
            about = (list(pixels.shape), first, decode_us, overruns, encoded, _pairs(names))
            return pack(FRAMES, session_id, *about, body=body)
        case LiveFrames(pixels, names):
            body = np.ascontiguousarray(pixels, dtype=np.float32).tobytes()
            return pack(LIVE, session_id, list(pixels.shape), _pairs(names), body=body)
        case VideoFailed(text):
            return pack(VIDEO_FAILED, session_id, body=text.encode("utf-8", "replace"))
        case Park():
            return pack(PARK, session_id)
        case Alive():
            return pack(ALIVE, session_id)
        case OpenClip(live, again, client):
            return pack(CLIP, session_id, live and [live.stride_us, live.cells], again, client)
        case Open(client=client):
            return pack(EDGE, session_id, time.monotonic(), client, body=codec.encode_edge_message(message))
        case _:
            return pack(EDGE, session_id, time.monotonic(), body=codec.encode_edge_message(message))


def unpack_message(kind: str, extra: list[Any], body: bytes) -> EngineMessage:
    """The engine's side of `pack_message`. Raises MessageError: it is none."""
    try:
        return _unpacked(kind, extra, body)
    except _NO_VALUE as error:
        raise MessageError(f"an engine message {kind!r} doesn't hold what it should: {error}") from error


def _unpacked(kind: str, extra: list[Any], body: bytes) -> EngineMessage:
    match kind:
        case "frames":
            shape, first, decode_us, overruns, encoded, pairs = extra
            pixels = np.frombuffer(body, dtype=_FRAME_TYPES[encoded]).reshape(shape)
            return Frames(pixels, first, decode_us, overruns, encoded, _names(pairs))
        case "live":
            shape, pairs = extra
            return LiveFrames(np.frombuffer(body, dtype=np.float32).reshape(shape), _names(pairs))
        case "video_failed":
            return VideoFailed(body.decode())
        case "park":
            return Park()
        case "alive":
            return Alive()
        case "clip":
            live, again, client = extra
            return OpenClip(live and LiveWindow(*live), again, client)
        case "edge":
            message = codec.decode_edge_message(body)
            return replace(message, client=extra[1]) if isinstance(message, Open) and len(extra) > 1 else message
        case _:
            raise MessageError(f"unknown engine message {kind!r}")


def _pairs(names: tuple[FrameName, ...]) -> list[list[int]]:
    return [[name.number, name.time_us] for name in names]


def _names(pairs: list[list[int]]) -> tuple[FrameName, ...]:
    return tuple(FrameName(number, time_us) for number, time_us in pairs)
