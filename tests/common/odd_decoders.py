"""Children of `test_decoding` that a video has taken over: each answers work in its own wrong way."""

from __future__ import annotations

import json
import os
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

from common.decoding_wire import Buffers, Opening, decode_request, encode_reply

Answer = Callable[[bytes], Buffers]
SIZE = 8
_FRAME = SIZE * SIZE * 3


def _head(values: Any) -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("!I", len(text)) + text


def _worked(values: Any, frames: int = 0) -> Buffers:
    return [_head(values), bytes(frames * _FRAME)]


def _crash() -> Buffers:
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


def _hang() -> Buffers:
    time.sleep(60)
    return []


def _bomb() -> Buffers:
    return [bytes(1 << 40)]


REPLIES: dict[str, Callable[[], Buffers]] = {
    "crash": _crash,
    "hang": _hang,
    "bomb": _bomb,
    "nothing": lambda: [b""],
    "short": lambda: [b"\0\0"],
    "long_head": lambda: [b"\xff\xff\xff\xff{}"],
    "no_json": lambda: [b"\0\0\0\1{"],
    "no_object": lambda: _worked([1]),
    "deep": lambda: [struct.pack("!I", 200_000), b"[" * 200_000],
    "digits": lambda: [struct.pack("!I", 10_000), b"9" * 10_000],
    "no_names": lambda: _worked({"waiting": 0}),
    "names_of_text": lambda: _worked({"names": "ab", "waiting": 0}),
    "odd_name": lambda: _worked({"names": [[1]], "waiting": 0}, 1),
    "time_beyond": lambda: _worked({"names": [[1, 2**60]], "waiting": 0}, 1),
    "time_of_text": lambda: _worked({"names": [[1, "x"]], "waiting": 0}, 1),
    "number_below": lambda: _worked({"names": [[-1, 0]], "waiting": 0}, 1),
    "number_true": lambda: _worked({"names": [[True, 0]], "waiting": 0}, 1),
    "number_float": lambda: _worked({"names": [[float("inf"), 0]], "waiting": 0}, 1),
    "too_many": lambda: _worked({"names": [[0, 0]] * 9, "waiting": 0}, 9),
    "too_few_bytes": lambda: [_head({"names": [[0, 0]], "waiting": 0}), bytes(_FRAME - 1)],
    "too_many_bytes": lambda: [_head({"names": [[0, 0]], "waiting": 0}), bytes(_FRAME + 1)],
    "frames_of_nothing": lambda: _worked({"names": [], "waiting": 0}, 1),
    "never_done": lambda: _worked({"names": [], "waiting": 10**9}),
    "idle": lambda: _worked({"names": [], "waiting": 1}),
    "below": lambda: _worked({"names": [], "waiting": -1}),
}


def _make(deed: str) -> Callable[[], Answer]:
    def answer(data: bytes) -> Buffers:
        return encode_reply(None) if isinstance(decode_request(data), Opening) else REPLIES[deed]()

    return lambda: answer


globals().update({deed: _make(deed) for deed in REPLIES})
