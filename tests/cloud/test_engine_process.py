"""The engine in a process of its own: its wire, its death, its restart, and its end with the parent's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.processes import wait_gone
from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.engine_client import EngineProcess
from cloud.engine_process import EngineLoop
from cloud.engine_wire import EDGE, OUT, STOP, pack, pack_message, unpack, unpack_message
from cloud.messages import EngineMessage, Frames, Park, VideoFailed
from common import codec
from common.errors import EngineDeadError, MessageError, ModelError
from common.types import Cancel, Close, CloudMessage, Commit, Draft, Finished, Open, Opened
from tests.cloud.engine_driver import opening
from tests.fakes import FakeRunner

# --------------------------------------------------------------------------------------------------------- the wire

MESSAGES: list[EngineMessage] = [
    Open("session-0", "what?", epoch=2, committed=(5, 6)),
    Draft(3, 1, 7, 99, (1, 2, 3)),
    Cancel(),
    Close(),
    Park(),
    VideoFailed("no decoder for “nonsense”"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_survive_the_wire(message: EngineMessage) -> None:
    kind, session_id, extra, body = unpack(pack_message("session-0", message))
    assert session_id == "session-0"
    assert unpack_message(kind, extra, body) == message


@settings(derandomize=True, deadline=None, max_examples=30)
@given(count=st.integers(0, 4), size=st.integers(1, 5), first=st.integers(0, 9), took=st.integers(0, 2**40))
def test_frames_survive_the_wire(count: int, size: int, first: int, took: int) -> None:
    frames = np.random.default_rng(size).normal(size=(count, 3, size, size)).astype(np.float32)
    for given_frames in (frames, frames[::-1], frames.transpose(0, 1, 3, 2)):
        kind, _, extra, body = unpack(pack_message("session-0", Frames(given_frames, first, took)))
        again = unpack_message(kind, extra, body)
        assert isinstance(again, Frames)
        np.testing.assert_array_equal(again.pixels, given_frames)
        assert (again.first, again.decode_us) == (first, took)


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(MessageError, match="two frames, not 1"):
        unpack([b"x"])
    with pytest.raises(MessageError, match="unknown engine message"):
        unpack_message("nonsense", [], b"")


# --------------------------------------------------------------------------------------------------------- the loop


def looped(parent: int, messages: list[list[bytes]]) -> list[tuple[str, CloudMessage]]:
    """Run the process's loop over the fake target in this process; what it sent out."""
    context = zmq.Context()
    ours, its = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    try:
        ours.bind("inproc://engine")
        its.connect("inproc://engine")
        for frames in messages:
            ours.send_multipart(frames)
        EngineLoop(Engine(FakeRunner()), its, parent).run()
        heard = []
        while ours.poll(0):
            kind, session_id, _, body = unpack(ours.recv_multipart())
            assert kind == OUT
            heard.append((session_id, codec.decode_cloud_message(body)))
        return heard
    finally:
        context.destroy(linger=0)


def test_the_loop_ends_when_told_and_when_its_parent_is_another() -> None:
    hello = pack(EDGE, "session-0", body=codec.encode_edge_message(opening()))
    ((session_id, opened),) = looped(os.getppid(), [hello, pack(STOP)])
    assert session_id == "session-0"
    assert isinstance(opened, Opened)
    assert looped(os.getppid() + 1, [hello]) == []  # no STOP: the parent is gone


# ------------------------------------------------------------------------------------------------------ the process


class Front:
    """What stands around an engine process in the daemon."""

    def __init__(self) -> None:
        self.process = EngineProcess(
            EngineSettings(sessions=2, threads=1),
            on_output=self._heard,
            on_death=lambda: self._happened("death"),
            on_notice=self._happened,
        )
        self.events: list[str] = []
        self.messages: list[CloudMessage] = []
        self._changed = asyncio.Event()

    def _heard(self, session_id: str, data: bytes) -> None:
        self.messages.append(codec.decode_cloud_message(data))
        self._changed.set()

    def _happened(self, what: str) -> None:
        self.events.append(what)
        self._changed.set()

    async def until(self, kind: type[CloudMessage] | str) -> None:
        """Until a message of a kind, or an event with these words, has come."""
        async with asyncio.timeout(90):
            while not self._has(kind):
                self._changed.clear()
                await self._changed.wait()

    def _has(self, kind: type[CloudMessage] | str) -> bool:
        if isinstance(kind, str):
            return any(kind in event for event in self.events)
        return any(isinstance(message, kind) for message in self.messages)

    async def answer(self, session_id: str) -> list[int]:
        """A whole answer through the process."""
        self.messages.clear()
        size = self.process.frames.size
        await self.process.send(session_id, Open(session_id, "What moves?", max_tokens=12))
        frames = np.zeros((self.process.frames.count, 3, size, size), dtype=np.float32)
        await self.process.send(session_id, Frames(frames))
        await self.until(Finished)
        await self.process.send(session_id, Close())
        return [token for m in self.messages if isinstance(m, Commit) for token in m.token_ids]


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    await made.process.start()
    yield made
    pid = made.process.pid
    await made.process.stop()
    assert pid is not None
    assert wait_gone([pid], 10.0) == []
    with pytest.raises(EngineDeadError):
        await made.process.send("session-0", Close())


async def test_it_answers_dies_is_noticed_restarted_and_answers_the_same(front: Front) -> None:
    assert front.process.info.max_sessions == 2
    expected = await front.answer("session-0")
    assert expected
    first = front.process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await front.until("death")
    assert not front.process.ready
    with pytest.raises(EngineDeadError, match="restarting"):
        await front.process.send("session-0", Close())
    await front.until("ready again")
    assert front.process.pid != first
    assert await front.answer("session-0") == expected
    assert wait_gone([first], 1.0) == []


async def test_a_stop_while_it_restarts_leaves_nothing(front: Front) -> None:
    pid = front.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await front.until("death")
    async with asyncio.timeout(30):
        while front.process.pid == pid:
            await asyncio.sleep(0)
    # the fixture stops it now, while the new process loads its target


async def test_a_folder_without_a_model_is_one_clear_error(tmp_path: Path) -> None:
    process = EngineProcess(
        EngineSettings(model=str(tmp_path)), on_output=lambda session_id, data: None, on_death=lambda: None
    )
    with pytest.raises(ModelError) as caught:
        await process.start()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert process.pid is not None
    assert wait_gone([process.pid], 5.0) == []
    await process.stop()
