"""A line that dies in every way, between a real edge link and a real cloud service: the answer goes on, soon."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cloud.daemon
from benchmarks.faults.tcp_relay import TcpRelay
from cloud.config import CloudSettings
from cloud.daemon import CloudDaemon
from common import codec
from common.types import Open, Opened
from common.video import VideoPacket
from edge.grpc_stream import Patience
from edge.link import GrpcLink, LinkSettings
from edge.runner import Video
from edge.video import Clip, open_clip, write_video
from edge.worker import DraftingThread
from tests.edge.test_runner import QUESTIONS, Asker, truth
from tests.local_engine import LocalEngine

PATIENT = Patience()


@asynccontextmanager
async def relayed(
    monkeypatch: pytest.MonkeyPatch, patience: Patience = PATIENT
) -> AsyncIterator[tuple[LocalEngine, GrpcLink, TcpRelay]]:
    """A cloud daemon over an engine in this process, and a link to it through a relay that can misbehave."""
    monkeypatch.setattr(cloud.daemon, "EngineProcess", LocalEngine)
    daemon = CloudDaemon(CloudSettings(listen="127.0.0.1:0", sessions=2, grace_s=0.2))
    await daemon.start()
    relay = TcpRelay(daemon.address)
    link = GrpcLink(LinkSettings(relay.listen("127.0.0.1"), patience=patience))
    engine = daemon._engine
    assert isinstance(engine, LocalEngine)
    try:
        yield engine, link, relay
    finally:
        await link.close()
        await daemon.stop()
        relay.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    rng = np.random.default_rng(0)
    write_video(path, [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(6)], fps=10)
    return open_clip(path)


@pytest.fixture
def thread() -> Iterator[DraftingThread]:
    made = DraftingThread()
    yield made
    made.close()


ORDERS: dict[str, dict[str, Any]] = {
    "reset": {"do": "reset"},
    "half-open": {"do": "half_open"},
    "half-open up": {"do": "half_open", "way": "up"},
    "half-open down": {"do": "half_open", "way": "down"},
    "a byte a second": {"do": "trickle", "seconds": 60.0},
    "changed bytes": {"do": "corrupt", "seed": 3, "chunks": 3},
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("when", ["in the middle", "at once"])
async def test_a_line_that_dies_is_noticed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, thread: DraftingThread, name: str, when: str
) -> None:
    async with relayed(monkeypatch) as (engine, link, relay):
        first, asker = Asker(link, thread, question=QUESTIONS[1]), Asker(link, thread, max_ahead=4, give_up_after=40.0)
        for each in (first, asker):
            each.runner._video = Video(clip.header, clip.packets)
        assert await first.run() == truth(QUESTIONS[1])
        struck = 0.0

        def strike() -> None:
            nonlocal struck
            assert relay.strike(ORDERS[name])
            struck = time.monotonic()
            engine.release()

        if when == "at once":
            strike()
            answer = await asker.run()
        else:
            engine.hold_at = engine.engine.stats.committed + 5
            answer = await asker.run(strike, at=3)
        assert answer == truth()
        assert time.monotonic() - struck < 12.0
        if name != "half-open up":  # whose goodbye can't arrive: that session's lease runs out
            await engine.until(lambda e: e.engine.sessions == 0)


async def test_an_upload_on_a_dead_line_is_begun_again_as_soon_as_the_stream(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, thread: DraftingThread
) -> None:
    """TCP would try again by itself, each time after twice as long, and find the line when it has long been back."""
    async with relayed(monkeypatch) as (engine, link, relay):
        asker = Asker(link, thread, max_ahead=4, give_up_after=40.0)
        struck = 0.0

        async def packets() -> AsyncIterator[VideoPacket]:
            nonlocal struck
            for count, packet in enumerate(clip.packets()):
                if count == 2 and not struck:
                    await engine.until(lambda e: e.engine.sessions == 1)
                    assert relay.strike({"do": "half_open"})
                    struck = time.monotonic()
                yield packet

        asker.runner._video = Video(clip.header, packets)
        assert await asker.run() == truth()
        assert time.monotonic() - struck < 4.0  # 0.5 s of silence, 1.5 s for a sign of life; by itself it takes 5 s


async def test_the_third_outage_is_noticed_as_soon_as_the_first(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, thread: DraftingThread
) -> None:
    """Who is silent twice may be slow, and is given longer; who was quick in between isn't slow."""
    async with relayed(monkeypatch) as (engine, link, relay):
        for _ in range(3):
            asker = Asker(link, thread, max_ahead=4, give_up_after=40.0)
            asker.runner._video = Video(clip.header, clip.packets)
            engine.hold_at = engine.engine.stats.committed + 5
            struck = 0.0

            def strike() -> None:
                nonlocal struck
                assert relay.strike({"do": "half_open"})
                struck = time.monotonic()
                engine.release()

            assert await asker.run(strike, at=3) == truth()
            assert time.monotonic() - struck < 3.5


@pytest.mark.parametrize("heard", [0, 1, 4])
async def test_a_stream_that_is_mute_on_a_line_that_lives_is_replaced(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, thread: DraftingThread, heard: int
) -> None:
    """As when a damaged byte sent its messages to another stream: from the beginning, before the first token, later."""
    async with relayed(monkeypatch, Patience(opened=1.0, token=1.0)) as (engine, link, _):
        asker = Asker(link, thread, max_ahead=4, give_up_after=40.0)
        asker.runner._video = Video(clip.header, clip.packets)
        deliver, delivered = engine.on_output, itertools.count()

        def lossy(session_id: str, data: bytes) -> None:
            again = sum(isinstance(message, Open) for _, message in engine.taken) > 1
            if again or next(delivered) < heard:
                message = codec.decode_cloud_message(data)
                if isinstance(message, Opened):
                    data = codec.encode_cloud_message(replace(message, lease_ms=1000))
                deliver(session_id, data)

        engine.on_output = lossy
        began = time.monotonic()
        assert await asker.run() == truth()
        assert asker.session.figures.resumes == 1
        assert time.monotonic() - began < 6.0


async def test_an_upload_that_is_mute_on_a_line_that_lives_is_begun_again(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, thread: DraftingThread
) -> None:
    monkeypatch.setattr("edge.link._VIDEO_QUIET_S", 0.2)
    async with relayed(monkeypatch, Patience(video=1.0)) as (_, link, _):
        asker = Asker(link, thread, give_up_after=40.0)
        uploads = itertools.count()
        stuck = asyncio.Event()

        async def packets() -> AsyncIterator[VideoPacket]:
            if next(uploads) == 0:
                await stuck.wait()  # the cloud has nothing to acknowledge
            for packet in clip.packets():
                yield packet

        asker.runner._video = Video(clip.header, packets)
        assert await asker.run() == truth()
        assert next(uploads) == 2
