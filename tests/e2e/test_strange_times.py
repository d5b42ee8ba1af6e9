"""Small clips whose times can't be: one clear line for who asked, and nothing at all for everybody else.

Eight JPEGs at 10^13 seconds once ended every engine that was asked about them: 10^19 microseconds fit into no reply.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import grpc
import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair
from common import codec
from common.ask import Mode
from common.errors import InputError
from common.types import CloudMessage, Failure, FailureCode, Open
from common.video import VideoHeader, VideoPacket
from tests.clips import HEIGHT, WIDTH, jpegs, matroska
from tests.e2e.pairs import ask, engine_of

FAR = 10**13  # seconds: 317,000 years


def far_mov(path: Path) -> Path:
    """Eight JPEGs, muxed untouched, the first at 10^13 s."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number, data in enumerate(jpegs()):
            packet = av.Packet(data)
            packet.pts = packet.dts = FAR + number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1), stream, True
            container.mux(packet)
    return path


def far_matroska(path: Path) -> Path:
    """The same with a second a tick: `TimecodeScale` 10^9."""
    path.write_bytes(matroska(jpegs(), scale=10**9, times=[FAR + n for n in range(8)]))
    return path


@pytest.fixture
def strange(tmp_path: Path) -> list[Path]:
    return [far_mov(tmp_path / "far.mov"), far_matroska(tmp_path / "far.mkv")]


def test_an_honest_edge_refuses_them_before_anything_goes_up(
    pair: Pair, clips: list[ClipQuestion], strange: list[Path]
) -> None:
    before = ask(pair.edge.address, clips[0]).token_ids
    engine = engine_of(pair.cloud.process.pid)
    for path in strange:
        for mode in (Mode.STREAM_TO_CLOUD, Mode.CLOUD_ONLY):
            with pytest.raises(InputError, match="more than 285 years from its zero") as caught:
                ask(pair.edge.address, replace(clips[0], video=path), mode=mode)
            assert "\n" not in str(caught.value)
    assert ask(pair.edge.address, clips[0]).token_ids == before
    assert engine_of(pair.cloud.process.pid) == engine


def uploaded(session_id: str, header: VideoHeader, packets: list[VideoPacket]) -> list[bytes]:
    return [codec.encode_video_header(session_id, header), codec.encode_video_packets(packets)]


# time base, and the times of eight packets in it
TIMES = {
    "seconds": ((1, 1), [FAR + n for n in range(8)]),
    "the largest base": ((2**32 - 1, 1), [2**33 + n for n in range(8)]),
    "the last tick of all": ((1, 1_000_000), [2**63 - 9 + n for n in range(8)]),
    "the first tick of all": ((1, 1_000_000), [-(2**63) + 1 + n for n in range(8)]),
    "one picture alone": ((1, 10), [0, 1, 2, 3, 4, 5, 6, 2**62]),
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("ahead", [False, True])
def test_a_cloud_that_is_sent_them_tells_the_sender_alone(
    pair: Pair, clips: list[ClipQuestion], name: str, ahead: bool
) -> None:
    """As an edge would that checks nothing."""
    before = ask(pair.edge.address, clips[1]).token_ids
    engine = engine_of(pair.cloud.process.pid)
    (num, den), times = TIMES[name]
    header = VideoHeader("mjpeg", b"", WIDTH, HEIGHT, 8, num, den, ahead=ahead)
    packets = [VideoPacket(n, at, at, True, data) for n, (at, data) in enumerate(zip(times, jpegs(), strict=True))]
    failure = _told(pair.cloud.address, header, packets)
    assert isinstance(failure, Failure)
    assert failure.code in (FailureCode.VIDEO, FailureCode.INVALID)
    assert "285 years" in failure.message
    assert "\n" not in failure.message
    assert ask(pair.edge.address, clips[1]).token_ids == before
    assert engine_of(pair.cloud.process.pid) == engine


def _told(address: str, header: VideoHeader, packets: list[VideoPacket]) -> CloudMessage:
    """What the session's stream says at last; of a clip without a question, what the upload's end says."""
    with grpc.insecure_channel(address) as channel:
        speculate = channel.stream_stream(f"/{codec.SERVICE}/Speculate")
        video = channel.stream_stream(f"/{codec.SERVICE}/StreamVideo")
        session = f"session-{packets[-1].pts % 2**64:x}"
        if header.ahead:
            with pytest.raises(grpc.RpcError) as caught:
                list(video(iter(uploaded(session, header, packets)), timeout=60))
            return Failure(FailureCode.INVALID, str(caught.value.details()))
        stream = speculate(_lasting(codec.encode_edge_message(Open(session, "What?", max_tokens=8))), timeout=60)
        replies = iter(stream)
        next(replies)  # opened
        with pytest.raises(grpc.RpcError, match="285 years"):
            list(video(iter(uploaded(session, header, packets)), timeout=60))
        for data in replies:
            message = codec.decode_cloud_message(data)
            if isinstance(message, Failure):
                stream.cancel()
                return message
    raise AssertionError("the stream ended without a word")


def _lasting(data: bytes) -> Any:
    """A request that goes on until it is cancelled."""
    yield data
    threading.Event().wait(60)
