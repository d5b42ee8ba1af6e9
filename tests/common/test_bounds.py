"""What a message may consist of: bombs of a few bytes a part are refused before they are parsed, all else passes."""

from __future__ import annotations

import time

import pytest
from eventspec.v1 import speculation_pb2 as pb

from common import codec
from common.codec.bounds import MAX_STRUCTURE, UNCOUNTED
from common.errors import MessageError
from common.types import Draft, StateEncoding, Tensor
from common.video import VideoPacket

SIZE = 8 << 20


def nested(*path: int, body: bytes) -> bytes:
    """Bytes in a field (`path`: its numbers, the outermost first)."""
    for number in reversed(path):
        size, head = len(body), bytearray([number << 3 | 2])
        while size > 127:
            head.append(size & 127 | 128)
            size >>= 7
        body = bytes([*head, size]) + body
    return body


BOMBS = {
    "tokens of a draft": (codec.decode_edge_message, nested(2, 5, 1, body=b"\x01" * SIZE)),
    "... each a field": (codec.decode_edge_message, nested(2, 5, body=b"\x08\x01" * (SIZE // 2))),
    "dimensions of states": (codec.decode_edge_message, nested(2, 6, 2, body=b"\x7f" * SIZE)),
    "fields nobody knows": (codec.decode_edge_message, b"\xa0\x06\x01" * (SIZE // 3)),
    "... in an Open": (codec.decode_edge_message, nested(1, body=b"\xa0\x06\x01" * (SIZE // 3))),
    "... as text": (codec.decode_edge_message, nested(9, body=bytes(SIZE))),
    "groups": (codec.decode_edge_message, b"\x0b" * SIZE),
    "numbers without an end": (codec.decode_edge_message, b"\xff" * SIZE),
    "empty packets": (codec.decode_video_message, nested(3, body=b"") * (SIZE // 2)),
    "empty features": (codec.decode_video_message, nested(5, body=b"") * (SIZE // 2)),
    "names of frames": (codec.decode_video_message, nested(2, 11, body=b"\x01" * SIZE)),
    "tokens of a commit": (codec.decode_cloud_message, nested(2, 2, body=b"\x01" * SIZE)),
    "frames of an opening": (codec.decode_cloud_message, nested(1, 8, body=b"") * (SIZE // 4)),
    "ends of an answer": (codec.decode_info, nested(8, body=b"\x01" * SIZE)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_parsed(name: str) -> None:
    decode, data = BOMBS[name]
    assert len(data) >= SIZE // 2
    began = time.thread_time()
    with pytest.raises(MessageError, match=r"are taken|don't parse"):
        decode(data)
    assert time.thread_time() - began < 0.05


def test_what_is_large_for_a_reason_passes() -> None:
    packets = tuple(VideoPacket(index, index, index, False, bytes(1_400)) for index in range(400))
    assert codec.decode_video_message(codec.encode_video_packets(packets))[2] == packets
    small = tuple(VideoPacket(index, index, index, False, b"a small picture") for index in range(4_096))
    assert codec.decode_video_message(codec.encode_video_packets(small))[2] == small
    states = Tensor("float32", (500, 4_096), bytes(500 * 4_096 * 4))
    draft = Draft(1, 0, 0, 7, (), states, StateEncoding.STATES)
    assert codec.decode_edge_message(codec.encode_edge_message(draft)) == draft


def test_short_messages_are_the_parsers_business() -> None:
    data = nested(2, 5, 1, body=b"\x01" * (UNCOUNTED - 100))
    assert pb.SpeculateRequest.FromString(data).draft.tokens.ids[0] == 1
    with pytest.raises(MessageError, match="draft_id"):
        codec.decode_edge_message(data)
    assert UNCOUNTED < MAX_STRUCTURE
