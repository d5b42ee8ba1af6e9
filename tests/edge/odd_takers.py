"""Children of `test_live_taking` that their stream has taken over: each answers in its own wrong way."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Callable
from typing import Any


def _reply(items: Any, *data: bytes, error: Any = "") -> list[bytes]:
    head = json.dumps({"items": items, "ended": False, "error": error}).encode()
    return [struct.pack("!I", len(head)), head, *data]


def _crash() -> list[bytes]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


_PICTURE = [1, 0, 0, True, 0.1, "h264", 64, 48]
REPLIES: dict[str, Callable[[], list[bytes]]] = {
    "crash": _crash,
    "nothing": lambda: [b""],
    "no_json": lambda: [b"\0\0\0\1["],
    "deep": lambda: [struct.pack("!I", 100_000), b"[" * 100_000],
    "text": lambda: _reply("abc"),
    "too_long": lambda: _reply([[10, *_PICTURE[1:]]], b"x"),
    "no_bytes": lambda: _reply([[0, *_PICTURE[1:]]]),
    "codec": lambda: _reply([[*_PICTURE[:5], "rawvideo", 64, 48]], b"x"),
    "sides": lambda: _reply([[*_PICTURE[:6], 1, 10**9]], b"x"),
    "far": lambda: _reply([[1, 0, 2**60, *_PICTURE[3:]]], b"x"),
    "age": lambda: _reply([[*_PICTURE[:4], float("nan"), *_PICTURE[5:]]], b"x"),
    "events": lambda: _reply([[16]], struct.pack("!QII", 10**12, 64, 48)),
    "below": lambda: _reply([[-1]], b"x"),
}


def _make(deed: str) -> Callable[[], Callable[[bytes], list[bytes]]]:
    def answer(data: bytes) -> list[bytes]:
        return REPLIES[deed]() if data == b"next" else []

    return lambda: answer


globals().update({deed: _make(deed) for deed in REPLIES})
