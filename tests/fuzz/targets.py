"""What is fuzzed: functions of bytes that may refuse them with this project's own errors, and with nothing else."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cloud.ingest import Receiver, receiver_for
from cloud.messages import FrameSpec
from common import codec
from common.access import parse_tokens, render_tokens
from common.errors import EventFormatError, EventSpecError, MessageError, SettingsError
from common.video import VideoHeader, VideoPacket
from common.video_decoding import VideoDecoder
from common.video_limits import VideoLimits
from edge.controller import Experience
from edge.events import dsec, load_events, npy, npz, prophesee
from edge.events.pickled import read_pickled_dict
from edge.events.reading import Request
from edge.matroska import missing_bytes
from edge.session import Phase
from edge.video import open_clip
from tests.decoders import decoders
from tests.edge.cloud_lies import MOST, Answer
from tests.fuzz.videos import decoder_packets

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


def cloud_stream(data: bytes) -> None:
    """What a cloud says in one stream, to an answer at the edge: messages with two bytes of length before each."""
    answer, at = Answer(Experience()), 0
    answer.work()
    while at + 2 <= len(data) and answer.session.phase is not Phase.DONE:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        answer.hear(data[at + 2 : end])
        at = end
    assert len(answer.session.committed) <= MOST
    assert len(json.dumps(answer.session.figures.report(len(answer.session.answer)))) < 1 << 17


def local_messages(data: bytes) -> None:
    """What askers and the edge daemon tell each other, and the handshake; the first byte chooses."""
    pairs: tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...] = (
        (codec.decode_ask, codec.encode_ask),
        (codec.decode_ask_event, codec.encode_ask_event),
        (codec.decode_watch, codec.encode_watch),
        (codec.decode_watch_state, codec.encode_watch_state),
        (codec.decode_status, codec.encode_status),
        (codec.decode_info, codec.encode_info),
        (codec.decode_drain, lambda drain: codec.encode_drain(undo=drain[0], grace_ms=drain[1])),
        (codec.decode_drain_state, codec.encode_drain_state),
        (codec.decode_video_reply, lambda reply: codec.encode_video_reply(*reply)),
        (codec.decode_video_acknowledgement, lambda received: codec.encode_video_acknowledgement(received or 0)),
    )
    if data:
        _again(data[1:], *pairs[data[0] % len(pairs)])


def video_messages(data: bytes) -> None:
    """A whole stream of a video or of features: messages with two bytes of length before each, as the front does."""
    receiver: Receiver | None = None
    at = 0
    limits = VideoLimits(max_frames=64, max_pixels=128 * 128, max_packet_bytes=4_096)
    spec = FrameSpec(size=16, count=2, tokens=1, hidden=4, dtype="float32", vision_fingerprint="fuzz")
    try:
        while at + 2 <= len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            _, header, items = codec.decode_video_message(data[at + 2 : end])
            at = end
            if receiver is None:
                if header is None:
                    return
                receiver = receiver_for(header, limits, spec, decoders())
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


def _work(receiver: Receiver) -> None:
    more = True
    while more:
        frames, more = receiver.work()
        if frames is not None and not getattr(frames, "encoded", False):
            assert frames.pixels.dtype == np.float32
            assert frames.pixels.shape[1:] == (3, 16, 16)


def video_decoder(data: bytes) -> None:
    """The decoders themselves, in this process: messages as of `video_messages`, without the front around them."""
    limits, at = VideoLimits(max_frames=64, max_pixels=128 * 128, max_packet_bytes=4_096), 0
    decoder: VideoDecoder | None = None
    try:
        while at + 2 <= len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            _, header, items = codec.decode_video_message(data[at + 2 : end])
            at = end
            if decoder is None:
                if not isinstance(header, VideoHeader):
                    return
                decoder = VideoDecoder(header, limits)
            for item in items:
                if isinstance(item, VideoPacket):
                    decoder.push(item)
        if decoder is not None:
            decoder.finish()
    except EventSpecError:
        return


def clip_file(data: bytes) -> None:
    """A clip's container: what an edge reads of it, and sends."""
    try:
        clip = open_clip(_file.fill(data), max_frames=256, max_pixels=1 << 20)
        sent = [codec.encode_video_header("session-0", clip.header)]
        for taken_s, packet in clip.recorded():
            assert math.isfinite(taken_s)
            sent.append(codec.encode_video_packets([packet]))
    except EventSpecError:
        return
    _, header, _ = codec.decode_video_message(sent[0])
    assert header == clip.header


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
_folder = Path("/dev/shm/eventspec-fuzz")


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


def events_h5(data: bytes) -> None:
    """DSEC's recordings, with HDF5 in this process."""
    _events(data, dsec.read)


def events_in_child(data: bytes) -> None:
    """Recordings of any format, as a daemon reads them: in a child, where native readers may do as they please."""
    _folder.mkdir(exist_ok=True)
    path = _folder / f"{os.getpid()}.recording"
    path.write_bytes(data[:_MAX_FILE])
    try:
        events = load_events(path, start_us=0, duration_us=50_000, sensor=(64, 48))
    except EventFormatError:
        return
    finally:
        path.unlink()
    assert len(events) > 0


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
        cloud_stream,
        local_messages,
        video_messages,
        video_decoder,
        clip_file,
        decoder_packets,
        events_npy,
        events_pickle,
        events_npz,
        events_raw,
        events_h5,
        events_in_child,
        matroska,
        token_file,
    )
}
