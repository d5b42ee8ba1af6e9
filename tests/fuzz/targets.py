"""What is fuzzed: functions of bytes that may refuse them with this project's own errors, and with nothing else."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cloud.ingest import VideoReceiver
from cloud.messages import FrameSpec
from common import codec
from common.access import parse_tokens, render_tokens
from common.errors import EventFormatError, EventSpecError, MessageError, SettingsError
from common.video import VideoHeader
from common.video_limits import VideoLimits
from edge.events import npy, npz, prophesee
from edge.events.pickled import read_pickled_dict
from edge.events.reading import Request
from edge.matroska import missing_bytes
from tests.decoders import decoders

_MAX_FILE = 1 << 16
_WINDOW = Request(0, 50_000, (64, 48))


def _again(data: bytes, decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> None:
    """What can be read is written and read as the same, or refused."""
    try:
        written = encode(decode(data))
    except MessageError:
        return
    assert encode(decode(written)) == written


def edge_message(data: bytes) -> None:
    """What an edge sends to a cloud."""
    _again(data, codec.decode_edge_message, codec.encode_edge_message)


def cloud_message(data: bytes) -> None:
    """What a cloud sends to an edge."""
    _again(data, codec.decode_cloud_message, codec.encode_cloud_message)


def local_messages(data: bytes) -> None:
    """What askers and the edge daemon tell each other, and the handshake; the first byte chooses."""
    pairs: tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...] = (
        (codec.decode_ask, codec.encode_ask),
        (codec.decode_ask_event, codec.encode_ask_event),
        (codec.decode_watch, codec.encode_watch),
        (codec.decode_watch_state, codec.encode_watch_state),
        (codec.decode_status, codec.encode_status),
        (codec.decode_info, codec.encode_info),
    )
    if data:
        _again(data[1:], *pairs[data[0] % len(pairs)])


def video_messages(data: bytes) -> None:
    """A whole video's stream: messages with two bytes of length before each, and what the cloud's front does."""
    receiver, at = None, 0
    limits = VideoLimits(max_frames=64, max_pixels=128 * 128, max_packet_bytes=4_096)
    spec = FrameSpec(size=16, count=2, tokens=1, hidden=4, dtype="float32", vision_fingerprint="fuzz")
    try:
        while at + 2 <= len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            _, header, items = codec.decode_video_message(data[at + 2 : end])
            at = end
            if receiver is None:
                if not isinstance(header, VideoHeader):
                    return
                receiver = VideoReceiver(header, limits, spec, decoders())
            receiver.take(items)
            _work(receiver)
        if receiver is not None:
            receiver.check_complete()
            receiver.take(())
            _work(receiver)
    except EventSpecError:
        return
    finally:
        if receiver is not None:
            receiver.close()


def _work(receiver: VideoReceiver) -> None:
    more = True
    while more:
        frames, more = receiver.work()
        if frames is not None:
            assert frames.pixels.dtype == np.float32
            assert frames.pixels.shape[1:] == (3, 16, 16)


class _File:
    """A file in memory that readers can open by its name."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("fuzz")
        self.path = Path(f"/proc/self/fd/{self._descriptor}")

    def fill(self, data: bytes) -> Path:
        """Make this its contents."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data[:_MAX_FILE], 0)
        return self.path


_file = _File()


def _events(data: bytes, read: Callable[[Path, Request], Any]) -> None:
    try:
        events = read(_file.fill(data), _WINDOW)
    except EventFormatError:
        return
    assert len(events) > 0
    assert (np.diff(events.t) >= 0).all()
    assert int(events.x.max()) < events.width
    assert int(events.y.max()) < events.height


def events_npy(data: bytes) -> None:
    """EventGPT's recordings."""
    _events(data, npy.read)


def events_pickle(data: bytes) -> None:
    """The pickles in them, without numpy's header."""
    try:
        read_pickled_dict(data[:_MAX_FILE])
    except EventFormatError:
        return


def events_npz(data: bytes) -> None:
    """N-ImageNet's recordings."""
    _events(data, npz.read)


def events_raw(data: bytes) -> None:
    """Prophesee's recordings."""
    _events(data, prophesee.read)


def matroska(data: bytes) -> None:
    """The outermost element of a Matroska file."""
    data = data[:_MAX_FILE]
    assert missing_bytes(io.BytesIO(data), len(data)) >= 0


def token_file(data: bytes) -> None:
    """The file with the hashes of tokens."""
    try:
        entries = parse_tokens(data.decode("utf-8", "replace"))
    except SettingsError:
        return
    assert parse_tokens(render_tokens(entries)) == tuple(
        replace(entry, expires=entry.expires and entry.expires.replace(microsecond=0)) for entry in entries
    )


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        edge_message,
        cloud_message,
        local_messages,
        video_messages,
        events_npy,
        events_pickle,
        events_npz,
        events_raw,
        matroska,
        token_file,
    )
}
