"""The child of `edge/clips.py`: opens the clips that are asked for, and reads or encodes them packet by packet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from common import codec
from common.errors import InputError, VideoFormatError
from common.named_files import Allowed
from common.video import VideoHeader, VideoPacket
from edge.transcoding import SampledClip
from edge.video import Clip, open_clip

_BATCH_BYTES, _BATCH_PACKETS = 1 << 20, 256


def make() -> Callable[[bytes], Sequence[bytes | memoryview]]:
    """What answers questions, FFmpeg loaded ahead of the first."""
    import av

    av.logging.set_level(av.logging.PANIC)
    return ClipChild().answer


class ClipChild:
    """The clip that is being read."""

    def __init__(self) -> None:
        self._recorded: Iterator[tuple[float, VideoPacket]] = iter(())

    def answer(self, request: bytes) -> Sequence[bytes | memoryview]:
        """The reply to a question. Raises VideoFormatError."""
        head, _, more = request.partition(b"\n")
        question = json.loads(head)
        try:
            if question["do"] == "open":
                return _looked_at(question)
            if question["do"] == "read":
                _, header, _ = codec.decode_video_message(more)
                assert isinstance(header, VideoHeader)
                clip = Clip(question["path"], header, _allowed(question))
                self._recorded = (_sampled(clip, question) or clip).recorded()
                return []
            return _packed(_next_batch(self._recorded))
        except InputError as error:
            raise VideoFormatError(str(error)) from error
        except OSError as error:
            raise VideoFormatError(f"can't be read ({error.strerror})") from error


def _next_batch(recorded: Iterator[tuple[float, VideoPacket]]) -> list[tuple[float, VideoPacket]]:
    batch, size = [], 0
    for taken_s, packet in recorded:
        batch.append((taken_s, packet))
        size += len(packet.data)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_PACKETS:
            break
    return batch


def _looked_at(question: dict[str, Any]) -> Sequence[bytes]:
    clip = open_clip(question["path"], max_bytes=question["max_bytes"], allowed=_allowed(question))
    sampled = _sampled(clip, question)
    own = codec.encode_video_header("", clip.header)
    told = codec.encode_video_header("", sampled.header) if sampled else own
    begin, whole = ([], False) if sampled else _begin(clip)  # what must be encoded first isn't waited for
    return [bytes([whole]), len(own).to_bytes(4, "big"), own, len(told).to_bytes(4, "big"), told, *_packed(begin)]


def _begin(clip: Clip) -> tuple[list[tuple[float, VideoPacket]], bool]:
    """The first packets, and whether they are all."""
    recorded = clip.recorded()
    return _next_batch(recorded), next(recorded, None) is None


def _sampled(clip: Clip, question: dict[str, Any]) -> SampledClip | None:
    return SampledClip(clip, question["encoding"], question["kbps"]) if question["encoding"] else None


def _allowed(question: dict[str, Any]) -> Allowed:
    roots = question["roots"]
    return Allowed(None if roots is None else tuple(roots))


def _packed(batch: list[tuple[float, VideoPacket]]) -> Sequence[bytes]:
    times = np.array([taken_s for taken_s, _ in batch], ">f8").tobytes()
    return [len(times).to_bytes(4, "big"), times, codec.encode_video_packets([packet for _, packet in batch])]
