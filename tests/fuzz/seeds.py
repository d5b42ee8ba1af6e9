"""Writes the small inputs that fuzzing begins with: `python -m tests.fuzz.seeds`. They are kept beside this file."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from common import codec
from common.access import Scope, TokenEntry, render_tokens
from common.ask import Answer, AskRequest, EdgeStatus, Notice, Report, WatchRequest, WatchState
from common.live import LiveWindow
from common.types import (
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    DrafterInfo,
    DrainState,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    Open,
    Opened,
    Progress,
    SamplingParams,
    ServerInfo,
    Stage,
    StateEncoding,
    Tensor,
)
from common.video import FeaturesHeader, FrameFeatures
from edge.events import npy, npz, prophesee, save_events
from edge.video import open_clip, write_video
from tests.clips import encode
from tests.edge.events.made import made_events
from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS
from tests.fuzz.videos import written

_FIXTURES = Path(__file__).parents[1] / "edge" / "events" / "fixtures"


def edge_message() -> Iterator[bytes]:
    drafter = DrafterInfo("tiny", "0123", 50, 4)
    yield codec.encode_edge_message(Open("session-0", "what?", SamplingParams(0.7, 3, 0.9, 5), 9, drafter=drafter))
    yield codec.encode_edge_message(Open("session-0", "what?", epoch=2, committed=(1, 2, 3), clip="clip-1234"))
    yield codec.encode_edge_message(Draft(1, 0, 3, 99, (5, 6, 7)))
    states = Tensor("int8", (2, 4), bytes(8))
    scales = Tensor("float16", (2,), bytes(4))
    yield codec.encode_edge_message(Draft(2, 1, 3, 9, (), states, StateEncoding.CODES, scales, 1, 1))
    yield codec.encode_edge_message(Cancel())
    yield codec.encode_edge_message(Close())


def cloud_message() -> Iterator[bytes]:
    for message in (
        Opened("session-0", 9, 16, 3, video_needed=False, replay="x", adapter="y"),
        Commit(3, (1, 2, 3), 3, 2, 7, 1),
        Progress(Stage.PREFILL, 10, 20),
        Finished(FinishReason.STOP, 9, 3, 1, 2),
        Failure(FailureCode.CAPACITY, "full", True),
    ):
        yield codec.encode_cloud_message(message)


def _framed(messages: Iterable[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def cloud_stream() -> Iterator[bytes]:
    opened, tokens = Opened("session-0", 20, 16, draft_limit=16), (5, 6, 7)
    commits: list[CloudMessage] = [Commit(at, (token,), 1, 1, at, 1, draft_limit=20) for at, token in enumerate(tokens)]
    end = Finished(FinishReason.LENGTH, 3, 3)
    failed = Failure(FailureCode.UNAVAILABLE, "going down", True, 10)
    streams: list[list[CloudMessage]] = [
        [opened, Progress(Stage.PREFILL, 1, 2), *commits, end],
        [opened, Commit(0, tokens, 9, 2, 1), opened],
        [opened, commits[0], failed, opened, *commits[1:], end],
    ]
    for messages in streams:
        yield _framed(codec.encode_cloud_message(message) for message in messages)


def local_messages() -> Iterator[bytes]:
    info = ServerInfo(1, "tiny", "01", "23", 50, 4, 8, (2,), 8, 512, 512, 16, 1 << 20, 1 << 20)
    for number, data in (
        (0, codec.encode_ask(AskRequest("what?", "a.npy", "b.mp4"))),
        (1, codec.encode_ask_event(Answer("a", "b", 1.5))),
        (1, codec.encode_ask_event(Report({"answer": "a", "n": [1, None]}))),
        (1, codec.encode_ask_event(Notice("lost"))),
        (2, codec.encode_watch(WatchRequest("a.mp4"))),
        (3, codec.encode_watch_state(WatchState("w", 1, 2, 3, True, False, 4.5))),
        (4, codec.encode_status(EdgeStatus("tiny", "c:1", True, 2))),
        (5, codec.encode_info(info)),
        (6, codec.encode_drain(undo=True, grace_ms=9)),
        (7, codec.encode_drain_state(DrainState(True, 2, 1))),
        (8, codec.encode_video_reply(8, 100)),
        (9, codec.encode_video_acknowledgement(100)),
    ):
        yield bytes([number]) + data


def _videos(folder: Path) -> Iterator[Path]:
    rng = np.random.default_rng(0)
    for name, encoder in (("a.mp4", "libx264"), ("b.avi", "mpeg4"), ("c.webm", "libvpx-vp9"), ("d.mkv", "libx264")):
        pictures = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
        write_video(folder / name, pictures, fps=10, crf=40, codec=encoder)
        yield folder / name


def video_decoder() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for path in _videos(Path(folder)):
            clip = open_clip(path)
            messages = [codec.encode_video_header("session-0", clip.header)]
            yield _framed(messages + [codec.encode_video_packets([packet]) for packet in clip.packets()])


def video_messages() -> Iterator[bytes]:
    yield from video_decoder()
    with tempfile.TemporaryDirectory() as folder:
        clip = open_clip(next(iter(_videos(Path(folder)))))
        live = replace(clip.header, frames=0, live=LiveWindow(100_000, 2), ahead=True, time_base_num=1)
        live = replace(live, time_base_den=1_000_000)
        messages = [codec.encode_video_header("session-0", live)]
        yield _framed(messages + [codec.encode_video_packets([packet]) for packet in clip.packets()])
    rows = Tensor("float32", (1, 4), bytes(16))
    features = [FrameFeatures(index, rows) for index in range(2)]
    messages = [codec.encode_features_header("session-0", FeaturesHeader("fuzz", 2))]
    yield _framed(messages + [codec.encode_features([one]) for one in features])


def clip_file() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for path in _videos(Path(folder)):
            yield path.read_bytes()


def decoder_packets() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for name, encoder, options in (
            ("a.mp4", "libx264", {"bf": "2"}),
            ("b.mp4", "libx265", {"x265-params": "log-level=none"}),
            ("c.avi", "mpeg4", {"bf": "2"}),
            ("d.avi", "msmpeg4", {}),
            ("e.webm", "libvpx", {}),
            ("f.webm", "libvpx-vp9", {}),
            ("g.mp4", "libsvtav1", {"preset": "12"}),
            ("h.mov", "mjpeg", {}),
        ):
            path = encode(Path(folder) / name, encoder, 6, options=options, width=64, height=64)
            clip = open_clip(path)
            yield written(clip.header, list(clip.packets()))


def events_npy() -> Iterator[bytes]:
    file = io.BytesIO()
    npy.write(file, made_events(20, width=64, height=48))
    yield file.getvalue()


def events_pickle() -> Iterator[bytes]:
    for data in events_npy():
        yield data[128:]


def events_npz() -> Iterator[bytes]:
    file = io.BytesIO()
    npz.write(file, made_events(20, width=64, height=48))
    yield file.getvalue()


def events_raw() -> Iterator[bytes]:
    file = io.BytesIO()
    prophesee.write_evt2(file, made_events(20, width=64, height=48))
    yield file.getvalue()
    yield (_FIXTURES / "evt3.raw").read_bytes()


def events_h5() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.h5"
        save_events(made_events(20, width=64, height=48), path)
        yield path.read_bytes()


def events_in_child() -> Iterator[bytes]:
    for made in (events_npy, events_npz, events_raw, events_h5):
        yield from made()
    yield (_FIXTURES / "events.aedat4").read_bytes()


def matroska() -> Iterator[bytes]:
    yield b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67\x88contents"
    yield b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xffcontents"


def token_file() -> Iterator[bytes]:
    hashed = "0123456789abcdef" * 4
    entry = TokenEntry(
        "00112233", "edge-7", frozenset({Scope.INFO, Scope.VIDEO}), hashed, datetime(2027, 1, 1, tzinfo=UTC)
    )
    yield render_tokens([entry, replace(entry, sha256=hashed[::-1], expires=None)]).encode()


def main() -> None:
    """Write the seeds of each target; the function that makes them has its name."""
    for target in TARGETS:
        seeds: Callable[[], Iterator[bytes]] = globals()[target]
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds()):
            (folder / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
