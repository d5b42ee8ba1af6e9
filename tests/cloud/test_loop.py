"""No message of a client keeps the front's event loop from the others for long: each kind at its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cloud.config import CloudSettings
from cloud.daemon import CloudDaemon
from common import codec
from common.live import LiveWindow
from common.server import leave_out_of_collections
from common.types import Close, Draft, EdgeMessage, Finished, Open, Opened, StateEncoding, Tensor
from common.video import LEAST_PIECE, FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from tests.common.test_bounds import nested
from tests.loop_blocks import longest_step
from tests.raw_peer import raw_peer

MOST_S = 0.05
MIB = 1 << 20
BIG = 8 * MIB - 1_000
STRUCTURE = 250 << 10  # just below what is parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CloudDaemon]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cloud.config._MOST_TEXT", 16 * MIB)  # as for a large target's states
        started = CloudDaemon(CloudSettings(listen="127.0.0.1:0", threads=1, sessions=2, max_draft=256))
        try:
            await started.start()
            leave_out_of_collections()
            yield started
        finally:
            await started.stop()


def opening(**changes: object) -> Open:
    return replace(Open("session-0000", "what happens?", max_tokens=8), **changes)  # type: ignore[arg-type]


def edge(*messages: EdgeMessage | bytes) -> list[bytes]:
    return [message if isinstance(message, bytes) else codec.encode_edge_message(message) for message in messages]


HEADER = VideoHeader("h264", b"", 64, 48, 20_000, 1, 10_000, ahead=True, acknowledge=True)
LIVE = replace(HEADER, frames=0, time_base_den=1_000_000, live=LiveWindow(100_000, 8))
STATES = Tensor("float32", (500, 4_096), bytes(500 * 4_096 * 4))


def packets(count: int, size: int, header: VideoHeader = HEADER) -> list[bytes]:
    return [
        codec.encode_video_header("clip-0000", header),
        codec.encode_video_packets(VideoPacket(i, i, i, i == 0, bytes(size)) for i in range(count)),
    ]


def pieces(size: int, header: VideoHeader = HEADER) -> list[bytes]:
    each = [VideoPacket(0, 0, 0, True, bytes(LEAST_PIECE), continued=True) for _ in range(size // LEAST_PIECE)]
    chunks = [each[start : start + 500] for start in range(0, len(each), 500)]
    return [codec.encode_video_header("clip-0000", header), *map(codec.encode_video_packets, chunks)]


def features(daemon: CloudDaemon, piece: int = 0) -> list[bytes]:
    spec = daemon._engine.frames
    shape = (spec.tokens, spec.hidden)
    size = spec.tokens * spec.hidden * codec.ITEM_SIZES[spec.dtype]
    found = [codec.encode_features_header("session-0000", FeaturesHeader(spec.vision_fingerprint, spec.count))]
    for index in range(spec.count):
        step = piece or size
        for start in range(0, size, step):
            tensor = Tensor(spec.dtype, shape, bytes(min(step, size - start)))
            found.append(codec.encode_features([FrameFeatures(index, tensor, size if piece else 0)]))
    return found[:16_000]


SPECULATE: dict[str, Callable[[], Iterable[bytes]]] = {
    "a question of 8 MB": lambda: edge(opening(question="q" * BIG)),
    "a resume with all that fits": lambda: edge(opening(epoch=1, committed=(1,) * STRUCTURE)),
    "an opening with frames": lambda: edge(opening(frames=(1,) * STRUCTURE)),
    "a draft of ids": lambda: edge(opening(), Draft(1, 0, 0, 0, (1,) * STRUCTURE), Close()),
    "a draft of 8 MB of ids": lambda: edge(opening(), nested(2, 5, 1, body=b"\x01" * BIG)),
    "states": lambda: edge(opening(), Draft(1, 0, 0, 0, (), STATES, StateEncoding.STATES), Close()),
    "unknown fields": lambda: edge(opening(), nested(9, body=bytes(STRUCTURE)), nested(9, body=bytes(BIG))),
    "an opening again and again": lambda: edge(*[opening()] * 500),
    "small drafts": lambda: edge(opening(), *(Draft(n, 0, 0, 0, (1,)) for n in range(1, 60)), Close()),
}
VIDEO: dict[str, Callable[[], list[bytes]]] = {
    "a packet of 8 MB": lambda: packets(1, BIG),
    "many packets": lambda: packets(4_096, 20),
    "too many packets": lambda: [packets(0, 0)[0], nested(3, body=b"") * (4 * MIB)],
    "packets of a kilobyte": lambda: packets(550, 1_024),
    "empty packets": lambda: packets(4_096, 0),
    "pieces": lambda: pieces(12 * MIB),
    "names": lambda: [codec.encode_video_header("clip-0000", replace(HEADER, named=(1,) * STRUCTURE))],
    "extradata": lambda: [codec.encode_video_header("clip-0000", replace(HEADER, extradata=bytes(BIG)))],
    "live packets": lambda: packets(4_096, 20, LIVE),
    "live pieces": lambda: pieces(12 * MIB, LIVE),
    "a live packet of 8 MB": lambda: packets(1, BIG, LIVE),
}
OTHERS: dict[str, tuple[str, bytes]] = {
    "GetInfo": (f"/{codec.SERVICE}/GetInfo", bytes(BIG)),
    "Drain": (f"/{codec.SERVICE}/Drain", b"\x08\x01" * (BIG // 2)),
    "Health/Check": (
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest(service="x" * BIG).SerializeToString(),
    ),
    "reflection": (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="x" * BIG).SerializeToString(),
    ),
}


async def blocked(daemon: CloudDaemon, folder: Path, method: str, messages: Iterable[bytes]) -> str:
    """The peer's last words; fails if the loop was blocked, in the best of three times."""
    messages, steps = list(messages), []
    for _ in range(3):
        with longest_step() as longest:
            async with raw_peer(folder, "call", daemon.address, method, messages=messages) as said:
                pass
            await asyncio.sleep(0.1)
        if longest.seconds <= MOST_S:
            return said
        steps.append(str(longest))
    raise AssertionError(f"{steps}; {said}")


@pytest.mark.parametrize("kind", SPECULATE)
async def test_speculate(daemon: CloudDaemon, tmp_path: Path, kind: str) -> None:
    said = await blocked(daemon, tmp_path, f"/{codec.SERVICE}/Speculate", SPECULATE[kind]())
    assert said.startswith("OK"), said  # an answer, or a failure that is told in the stream


@pytest.mark.parametrize("kind", VIDEO)
async def test_video(daemon: CloudDaemon, tmp_path: Path, kind: str) -> None:
    said = await blocked(daemon, tmp_path, f"/{codec.SERVICE}/StreamVideo", VIDEO[kind]())
    assert said.startswith(("INVALID_ARGUMENT", "UNAVAILABLE the video ended", "OK")), said


@pytest.mark.parametrize(
    ("piece", "expected"), [(0, "OK"), (LEAST_PIECE, "OK"), (1, "INVALID_ARGUMENT a piece of frame 0 has 1 bytes")]
)
async def test_features_and_the_answer_to_them(daemon: CloudDaemon, tmp_path: Path, piece: int, expected: str) -> None:
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        call = channel.stream_stream(f"/{codec.SERVICE}/Speculate")()
        await call.write(codec.encode_edge_message(opening()))
        assert isinstance(codec.decode_cloud_message(await call.read()), Opened)
        said = await blocked(daemon, tmp_path, f"/{codec.SERVICE}/StreamVideo", features(daemon, piece))
        assert said.startswith(expected), said
        while expected == "OK" and not isinstance(codec.decode_cloud_message(await call.read()), Finished):
            pass
        await call.write(codec.encode_edge_message(Close()))
        call.cancel()


@pytest.mark.parametrize("kind", OTHERS)
async def test_other_calls(daemon: CloudDaemon, tmp_path: Path, kind: str) -> None:
    method, message = OTHERS[kind]
    said = await blocked(daemon, tmp_path, method, [message])
    assert said.startswith(("OK", "INVALID_ARGUMENT", "NOT_FOUND")), said
