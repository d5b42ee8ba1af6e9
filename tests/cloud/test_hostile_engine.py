"""An engine process that was broken into: its front stays up and quick, tells everybody, and replaces it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks.processes import wait_gone
from cloud import engine_client
from cloud.config import EngineSettings
from cloud.engine_client import EngineProcess
from cloud.messages import Frames
from cloud.streams import StreamTable
from common import codec
from common.errors import EngineDeadError, EngineError
from common.types import Failure, Open, Opened
from tests.cloud import hostile_engine
from tests.cloud.hostile_engine import MISDEEDS

PATIENCE_S = 60.0
LONGEST_BLOCK_S = 1.0  # on a machine that is busy with other things
MOST_GROWTH = 96 << 20  # bytes


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Front:
    """An engine process and the streams of its sessions, as in the daemon; notes what happens to its loop."""

    def __init__(self, misdeed: str, folder: Path, step_timeout_s: float) -> None:
        self.streams = StreamTable()
        self.notices: list[str] = []
        self.alive: list[bool] = []
        self.longest_block_s = 0.0
        self.process = EngineProcess(
            EngineSettings(model=misdeed, faults=str(folder), sessions=2, step_timeout_s=step_timeout_s),
            on_output=self.streams.deliver,
            on_death=lambda: self.streams.fail_all(EngineDeadError("died")),
            on_hang=lambda: self.streams.send_away(EngineDeadError("hangs")),
            on_notice=self.notices.append,
            on_alive=self.alive.append,
        )

    async def watch_the_loop(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest_block_s = max(self.longest_block_s, time.monotonic() - began - 0.01)

    async def until(self, words: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not any(words in notice for notice in self.notices):
                await asyncio.sleep(0.01)

    async def ends(self, session_id: str) -> Failure:
        """Open a session; the failure that its edge is told, at last."""
        opening = Open(session_id, "what?")
        stream = self.streams.attach(opening)
        await self.process.send(session_id, opening)
        async with asyncio.timeout(PATIENCE_S):
            last = None
            while (data := await stream.outbox.get()) is not None:
                last = codec.decode_cloud_message(data)
        self.streams.detach(stream)
        assert isinstance(last, Failure)
        return last

    async def works(self, session_id: str) -> bool:
        opening = Open(session_id, "what?")
        stream = self.streams.attach(opening)
        await self.process.send(session_id, opening)
        async with asyncio.timeout(PATIENCE_S):
            data = await stream.outbox.get()
        self.streams.detach(stream)
        return data is not None and isinstance(codec.decode_cloud_message(data), Opened)


@asynccontextmanager
async def broken_into(
    misdeed: str, folder: Path, monkeypatch: pytest.MonkeyPatch, step_timeout_s: float = 60.0
) -> AsyncIterator[Front]:
    """A front whose engine will do that."""
    monkeypatch.setattr(engine_client, "_PROGRAM", ("-P", hostile_engine.__file__))
    monkeypatch.setenv("PYTHONPATH", str(Path(hostile_engine.__file__).parents[2]))
    front = Front(misdeed, folder, step_timeout_s)
    await front.process.start()
    watching = asyncio.create_task(front.watch_the_loop())
    try:
        yield front
    finally:
        watching.cancel()
        pid = front.process.pid
        await front.process.stop()
        assert pid is not None
        assert wait_gone([pid], 10.0) == []


@pytest.mark.timeout(200)
@pytest.mark.parametrize("misdeed", [name for name in MISDEEDS if name != "stands_still"])
async def test_it_is_replaced(misdeed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with broken_into(misdeed, tmp_path, monkeypatch) as front:
        first, before = front.process.pid, resident()
        failure = await front.ends("session-0")
        assert failure.retryable
        await front.until("ready again")
        assert front.process.pid != first
        assert resident() - before < MOST_GROWTH
        assert await front.works("session-1")
        assert front.longest_block_s < LONGEST_BLOCK_S
        assert front.process.info.sessions_held == 0
        assert front.process.totals.now().steps >= 0
    if misdeed != "lies":
        assert sum("killing it" in notice for notice in front.notices) == 1, front.notices
    assert len(front.notices) < 30  # nor is the log flooded
    assert all(len(notice) < 3_000 for notice in front.notices)


@pytest.mark.timeout(200)
async def test_one_that_stands_still_is_noticed_in_two_seconds_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with broken_into("stands_still", tmp_path, monkeypatch, step_timeout_s=4.0) as front:
        began = time.monotonic()
        failure = await front.ends("session-0")
        assert failure.retryable
        assert time.monotonic() - began < 4.0
        assert front.alive == [True, False]
        assert not front.process.ready
        assert front.process.up
        with pytest.raises(EngineDeadError, match="doesn't respond"):
            await front.process.send("session-1", Open("session-1", "what?"))
        await front.until("ready again")
        assert front.process.ready
        assert await front.works("session-1")
    assert any("hasn't responded for more than 4 s; killing it" in notice for notice in front.notices)


@pytest.mark.timeout(200)
async def test_what_waits_for_one_that_doesnt_read_is_bounded_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = Frames(np.zeros((1, 3, 296, 296), dtype=np.float32))  # a megabyte
    async with broken_into("stands_still", tmp_path, monkeypatch, step_timeout_s=8.0) as front:
        await front.process.send("session-0", Open("session-0", "what?"))
        before = resident()

        async def video() -> None:
            """One after another, as each video does."""
            for _ in range(100):
                await front.process.send("session-0", frames)

        videos = [asyncio.create_task(video()) for _ in range(12)]
        await asyncio.sleep(1.0)
        assert not any(one.done() for one in videos)
        assert resident() - before < (64 + 64 + 12 + 64) << 20  # what waits at both ends, or is about to
        videos[0].cancel()
        ends = await asyncio.gather(*videos, return_exceptions=True)
        assert not any("killing" in notice for notice in front.notices)  # told before that
        assert isinstance(ends[0], asyncio.CancelledError)
        assert {type(end) for end in ends[1:]} == {EngineDeadError}
        await front.until("ready again")
        assert await front.works("session-1")


@pytest.mark.timeout(100)
async def test_one_that_begins_with_nonsense_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_client, "_PROGRAM", ("-P", hostile_engine.__file__))
    monkeypatch.setenv("PYTHONPATH", str(Path(hostile_engine.__file__).parents[2]))
    front = Front("never_ready", tmp_path, 60.0)
    with pytest.raises(EngineError, match="began with nonsense"):
        await front.process.start()
    assert front.process.pid is not None
    assert wait_gone([front.process.pid], 5.0) == []
    await front.process.stop()
