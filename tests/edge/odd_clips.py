"""A child of the clip reader that a file has taken over: it answers whatever the file's name says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from common import codec
from common.video import VideoHeader, VideoPacket

_HEADER = codec.encode_video_header("", VideoHeader("h264", b"", 16, 16, 1, 1, 25))
_PACKETS = codec.encode_video_packets([VideoPacket(0, 0, 0, True, b"x")])
_LENGTH = len(_HEADER).to_bytes(4, "big")
_HEADERS = [bytes(1), _LENGTH, _HEADER, _LENGTH, _HEADER]
_LOOKED_AT = [*_HEADERS, bytes(4)]
_LIES: dict[str, list[bytes]] = {
    "nothing": [],
    "no header": [bytes(4)],
    "noise": [os.urandom(200)],
    "packets": [bytes(1), len(_PACKETS).to_bytes(4, "big"), _PACKETS, len(_PACKETS).to_bytes(4, "big"), _PACKETS],
    "one header": [bytes(1), _LENGTH, _HEADER],
    "no times": [*_HEADERS, bytes(4), _PACKETS],
    "noise behind": [*_HEADERS, os.urandom(200)],
}
_LATE_LIES: dict[str, list[bytes]] = {
    "late noise": [os.urandom(200)],
    "no time": [bytes(4), _PACKETS],
    "nan": [(8).to_bytes(4, "big"), b"\xff" * 8, _PACKETS],
    "odd times": [(3).to_bytes(4, "big"), b"abc", _PACKETS],
    "header again": [bytes(4), _HEADER],
}


def make() -> Callable[[bytes], Sequence[bytes]]:
    """The liar."""
    lie = ""

    def answer(request: bytes) -> Sequence[bytes]:
        nonlocal lie
        question = json.loads(request.partition(b"\n")[0])
        lie = Path(question.get("path", lie)).stem
        if question["do"] == "open":
            return _LIES.get(lie, _LOOKED_AT)
        return [] if question["do"] == "read" else _LATE_LIES[lie]

    return answer
