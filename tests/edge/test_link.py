"""The link over gRPC, against the cloud's own service in this process: goodbyes arrive, errors are what they are."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import numpy as np
import pytest

import cloud.daemon
from cloud.config import CloudSettings
from cloud.daemon import CloudDaemon
from common import codec
from common.errors import LinkError, VideoFormatError
from common.sealing import Callee, Caller
from common.types import Cancel, Close, Open, Opened
from common.video import VideoPacket
from edge.grpc_stream import GrpcStream
from edge.link import GrpcLink, LinkSettings
from edge.runner import Video
from edge.video import Clip, open_clip, write_video
from edge.worker import DraftingThread
from tests.edge.test_runner import Asker, truth
from tests.local_engine import LocalEngine


@asynccontextmanager
async def linked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[LocalEngine, GrpcLink]]:
    """A cloud daemon over an engine in this process, and a link to it."""
    monkeypatch.setattr(cloud.daemon, "EngineProcess", LocalEngine)
    daemon = CloudDaemon(CloudSettings(listen="127.0.0.1:0", sessions=1, grace_s=0.2))
    await daemon.start()
    link = GrpcLink(LinkSettings(daemon.address))
    engine = daemon._engine
    assert isinstance(engine, LocalEngine)
    try:
        yield engine, link
    finally:
        await link.close()
        await daemon.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    rng = np.random.default_rng(0)
    write_video(path, [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(6)], fps=10)
    return open_clip(path)


def asker(link: Any, thread: DraftingThread, clip: Clip, **changes: Any) -> Asker:
    made = Asker(link, thread, **changes)
    made.runner._video = Video(clip.header, clip.packets)
    return made


async def test_a_whole_answer(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    thread, tasks = DraftingThread(), list[asyncio.Task[None]]()
    async with linked(monkeypatch) as (engine, link):
        engine.waits_for_draft, engine.hold_at = True, 5
        one = asker(link, thread, clip)

        async def until_uploaded() -> None:
            """The cloud's last word about the video comes when all of it is decoded; the answer needn't wait for it."""
            while not one.session.figures.uplink_bytes["video"]:
                await asyncio.sleep(0.01)
            engine.release()

        assert await one.run(lambda: tasks.append(asyncio.create_task(until_uploaded())), at=3) == truth()
        await engine.until_closed(f"sealed/{one.session.opening.session_id}")
        assert engine.engine.sessions == 0
        assert one.session.figures.uplink_bytes["video"] > sum(len(p.data) for p in clip.packets())
    thread.close()


@pytest.mark.parametrize("at", [1, 8])
@pytest.mark.parametrize("way", ["closed", "cancelled"])
async def test_the_goodbye_of_an_asker_that_leaves_arrives(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, at: int, way: str
) -> None:
    thread = DraftingThread()
    async with linked(monkeypatch) as (engine, link):
        engine.hold_at = at
        one = asker(link, thread, clip)
        if way == "closed":
            answers = one.runner.run()
            async for _ in answers:
                if len(one.session.committed) >= at:
                    break
            await answers.aclose()
        else:
            reached = asyncio.Event()
            task = asyncio.create_task(one.run(reached.set, at=at))
            await reached.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await engine.until_closed(f"sealed/{one.session.opening.session_id}")
        assert engine.engine.sessions == 0
    thread.close()


class SlowCall:
    """A gRPC call whose reads and writes take until they are let go; like grpc.aio's, it dies with a cancelled one."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.written: list[bytes] = []
        self.dead = False
        self._busy = False
        self.over: list[Callable[[object], None]] = []

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self.over.append(callback)

    async def _operate(self) -> None:
        assert not self._busy, "two operations of a kind at once"
        self._busy = True
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.dead = True
            raise
        finally:
            self._busy = False

    async def write(self, data: bytes) -> None:
        await self._operate()
        self.written.append(data)

    async def read(self) -> object:
        await self._operate()
        return grpc.aio.EOF

    async def done_writing(self) -> None:
        assert len(self.written) == 2

    def cancel(self) -> None:
        assert self.gate.is_set()


async def test_a_cancelled_send_takes_neither_the_call_nor_the_next_message_along() -> None:
    call = SlowCall()
    stream = GrpcStream(call, Caller("/a"))
    sending = asyncio.create_task(stream.send(Cancel()))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    goodbye = asyncio.create_task(stream.send(Close()))
    await asyncio.sleep(0)
    call.gate.set()
    await goodbye
    await stream.close()
    assert not call.dead
    seals = Callee("/a")
    assert [seals.open(data) for data in call.written] == [codec.encode_edge_message(m) for m in (Cancel(), Close())]


async def test_a_write_that_doesnt_hear_that_its_call_is_over_is_given_up() -> None:
    call = SlowCall()
    stream = GrpcStream(call, Caller("/a"))
    sending = asyncio.create_task(stream.send(Cancel()))
    await asyncio.sleep(0.01)
    assert not sending.done()
    for callback in call.over:
        callback(call)
    with pytest.raises(LinkError, match="closed"):
        await asyncio.wait_for(sending, 1.0)


async def test_a_cancelled_receive_leaves_the_call_alone() -> None:
    call = SlowCall()
    call.written = [b"", b""]
    stream = GrpcStream(call, Caller("/a"))
    receiving = asyncio.create_task(stream.receive())
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    closing = asyncio.create_task(stream.close())
    await asyncio.sleep(0)
    call.gate.set()
    await closing
    assert not call.dead


async def test_a_clip_that_breaks_while_it_is_sent_is_told_as_such(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    def broken() -> Iterator[VideoPacket]:
        yield next(iter(clip.packets()))
        raise VideoFormatError("the file changed")

    async with linked(monkeypatch) as (_, link):
        stream = await link.open()
        await stream.send(Open("session-0", "what?"))
        message, size = await stream.receive()
        assert isinstance(message, Opened)
        assert size > 0
        with pytest.raises(VideoFormatError, match="the file changed"):
            await link.send_video("session-0", clip.header, broken())
        await stream.send(Close())
        await stream.close()


async def test_a_slow_link_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting takes round trips of its own: gRPC must not give up between them."""
    async with linked(monkeypatch) as (engine, direct):
        host, _, port = direct.settings.address.rpartition(":")

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                asyncio.get_running_loop().call_later(0.4, writer.write, data)
            writer.close()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

        async with await asyncio.start_server(forward, "127.0.0.1", 0) as proxy:
            slow = LinkSettings(f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
            link = GrpcLink(slow)
            assert await link.info(timeout=30.0) == engine.info  # one call, without a second attempt
            await link.close()


async def test_nobody_there_is_a_lost_link() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        link = GrpcLink(LinkSettings(f"127.0.0.1:{reserved.getsockname()[1]}"))
        with pytest.raises(LinkError):
            await link.info(timeout=5.0)
        with pytest.raises(LinkError, match="no connection"):
            await link.open()
        await link.close()
