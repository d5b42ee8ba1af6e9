"""No message of an asker, or of a cloud, keeps the edge daemon's event loop from the others for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.clips import load_questions
from common import codec
from common.ask import AskRequest, Mode, WatchRequest
from common.server import leave_out_of_collections
from common.types import (
    WIRE_VERSION,
    CloudMessage,
    Commit,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    FrameName,
    Opened,
    Progress,
    ServerInfo,
    Stage,
)
from edge.config import EdgeSettings
from edge.daemon import EdgeDaemon
from tests.common.test_bounds import nested
from tests.loop_blocks import longest_step
from tests.raw_peer import raw_peer

MOST_S = 0.05
BIG = (8 << 20) - 1_000
STRUCTURE = 250 << 10  # just below what is parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIP = load_questions()[0]


def said(*messages: CloudMessage | bytes) -> list[bytes]:
    return [message if isinstance(message, bytes) else codec.encode_cloud_message(message) for message in messages]


OPENED = Opened("", 64, 16, 0, True)
WORDS: dict[str, Callable[[], list[bytes]]] = {
    "an opening with all the frames that fit": lambda: said(
        Opened("", 64, 16, 0, True, frames=tuple(FrameName(n, n) for n in range(4_000)))
    ),
    "an opening with a name of 8 MB": lambda: said(Opened("", 64, 16, 0, True, adapter="x" * BIG)),
    "all the tokens that fit": lambda: said(OPENED, Commit(0, (1,) * STRUCTURE, 0, 0)),
    "8 MB of tokens": lambda: said(OPENED, nested(2, 2, body=b"\x01" * BIG)),
    "many commits": lambda: said(OPENED, *(Commit(n, (5 + n % 20,), 0, 0) for n in range(60))),
    "progress without end": lambda: said(OPENED, *[Progress(Stage.PREFILL, 0, 1)] * 5_000),
    "a failure of 8 MB": lambda: said(OPENED, Failure(FailureCode.INVALID, "no\n" * (BIG // 3))),
    "an end with all the frames that fit": lambda: said(
        OPENED, Finished(FinishReason.STOP, 0, 0, frames=tuple(FrameName(n, n) for n in range(4_000)))
    ),
    "nonsense": lambda: said(bytes(BIG)),
}
ASKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a question of 8 MB": ("Ask", lambda: codec.encode_ask(asking(question="who? " * (BIG // 5)))),
    "... without blanks": ("Ask", lambda: codec.encode_ask(asking(question="w" * BIG))),
    "... about nothing": ("Ask", lambda: codec.encode_ask(asking(question=" " * BIG))),
    "a path of 8 MB": ("Ask", lambda: codec.encode_ask(asking(events_path="/" * BIG))),
    "a codec of 8 MB": ("Ask", lambda: codec.encode_ask(asking(video_codec="x" * BIG))),
    "a watch's path of 8 MB": ("Watch", lambda: codec.encode_watch(WatchRequest("/tmp/" + "x" * BIG))),
    "a live address of 8 MB": ("Watch", lambda: codec.encode_watch(WatchRequest("rtsp://" + "x" * BIG, live=True))),
    "status": ("Status", lambda: b"\x08\x01" * (BIG // 2)),
}


def asking(**changes: object) -> AskRequest:
    about = {
        "question": CLIP.question,
        "events_path": str(CLIP.events),
        "video_path": str(CLIP.video),
        "mode": Mode.EDGE_ONLY,
        "max_tokens": 4,
    }
    return AskRequest(**{**about, **changes})  # type: ignore[arg-type]


@asynccontextmanager
async def edge_of(cloud: str) -> AsyncIterator[EdgeDaemon]:
    daemon = EdgeDaemon(EdgeSettings(listen="127.0.0.1:0", cloud=cloud, threads=1, give_up_after_s=2.0))
    try:
        await daemon.start()
        leave_out_of_collections()
        yield daemon
    finally:
        await daemon.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone() -> AsyncIterator[EdgeDaemon]:
    async with edge_of("127.0.0.1:1") as daemon:
        yield daemon


async def blocked(daemon: EdgeDaemon, folder: Path, method: str, messages: Iterable[bytes]) -> str:
    """The peer's last words; fails if the loop was blocked, in the best of three times."""
    messages, steps = list(messages), []
    for _ in range(3):
        with longest_step() as longest:
            path = f"/{codec.EDGE_SERVICE}/{method}"
            async with raw_peer(folder, "call", daemon.address, path, messages=messages) as words:
                pass
            await asyncio.sleep(0.1)
        if longest.seconds <= MOST_S:
            return words
        steps.append(str(longest))
    raise AssertionError(f"{steps}; {words}")


@pytest.mark.parametrize("kind", ASKS)
async def test_askers(alone: EdgeDaemon, tmp_path: Path, kind: str) -> None:
    method, message = ASKS[kind]
    words = await blocked(alone, tmp_path, method, [message()])
    assert words.startswith(("INVALID_ARGUMENT", "OK")), words
    assert len(words) < 2_100


@pytest.mark.parametrize("kind", WORDS)
async def test_clouds(tmp_path: Path, kind: str) -> None:
    info = tmp_path / "info"
    about = ServerInfo(WIRE_VERSION, "hostile", "0" * 16, "", 100, 64, 8, (2,), 8, 512, 512, 16, 8 << 20, 1 << 30)
    info.write_bytes(codec.encode_info(about))
    (tmp_path / "cloud").mkdir()
    async with (
        raw_peer(tmp_path / "cloud", "serve", str(info), messages=WORDS[kind]()) as cloud,
        edge_of(cloud) as edge,
    ):
        ask = codec.encode_ask(asking(mode=Mode.STREAM_TO_CLOUD))
        words = await blocked(edge, tmp_path, "Ask", [ask])
        assert words.startswith(("INVALID_ARGUMENT", "OK")), words
        assert len(words) < 2_100
