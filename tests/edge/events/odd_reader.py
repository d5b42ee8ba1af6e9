"""A child of the event reader that a file has taken over: it answers whatever the file's name says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

_HEADER = struct.Struct("!QII")


def make() -> Callable[[bytes], Sequence[bytes]]:
    """The liar."""
    return _answer


def _answer(request: bytes) -> Sequence[bytes]:
    lie = Path(json.loads(request)["path"]).stem
    return {
        "outside": [_HEADER.pack(1, 9, 9), b"\xff" * 13],
        "short": [_HEADER.pack(5, 9, 9), bytes(11)],
        "count": [_HEADER.pack(2**63, 9, 9)],
        "nothing": [b""],
        "text": [b"not json"],
        "deep": [b"[" * 100_000],
        "fields": [b'{"format": 3}'],
    }[lie]
