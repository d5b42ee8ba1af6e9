"""The front's table of streams: who takes over from whom, slow readers, videos that wait for their session."""

from __future__ import annotations

import asyncio

import pytest

from cloud.streams import SessionStream, StreamTable
from common import codec
from common.errors import CapacityError, EngineDeadError, EventSpecError, PromptError
from common.types import Failure, FailureCode, Open


def opening(session_id: str = "session-0", epoch: int = 0) -> Open:
    return Open(session_id, "what?", epoch=epoch)


def drained(stream: SessionStream) -> list[bytes | None]:
    items = []
    while not stream.outbox.empty():
        items.append(stream.outbox.get_nowait())
    return items


async def test_bytes_go_to_their_session_only() -> None:
    table = StreamTable()
    first, second = table.attach(opening("session-1")), table.attach(opening("session-2"))
    table.deliver("session-1", b"one")
    table.deliver("session-2", b"two")
    table.deliver("session-3", b"nobody")
    assert (drained(first), drained(second)) == ([b"one"], [b"two"])
    assert len(table) == 2


@pytest.mark.parametrize(("old", "new"), [(0, 0), (2, 2), (2, 1)])
async def test_a_session_has_one_stream(old: int, new: int) -> None:
    table = StreamTable()
    stream = table.attach(opening(epoch=old))
    with pytest.raises(CapacityError, match="in use"):
        table.attach(opening(epoch=new))
    table.deliver("session-0", b"still here")
    assert drained(stream) == [b"still here"]


async def test_a_resume_takes_over_from_a_stream_that_still_hangs() -> None:
    table = StreamTable()
    old = table.attach(opening())
    new = table.attach(opening(epoch=1))
    assert old.replaced
    assert drained(old) == [None]
    table.detach(old)  # ends late, and takes nothing with it
    table.deliver("session-0", b"yours")
    assert drained(new) == [b"yours"]
    table.detach(new)
    assert len(table) == 0


async def test_a_slow_reader_loses_its_stream_and_costs_bounded_memory() -> None:
    stream = SessionStream("session-0", 0)
    for _ in range(5_000):
        stream.put(b"x" * 10)
    left = drained(stream)
    assert len(left) <= 1024
    assert None in left
    stream.put(b"more")
    stream.end()


async def test_a_failure_is_told_and_ends_the_stream() -> None:
    stream = SessionStream("session-0", 0)
    stream.fail(PromptError("too long"))
    data, end = drained(stream)
    assert data is not None
    assert end is None
    assert codec.decode_cloud_message(data) == Failure(FailureCode.INVALID, "too long")


@pytest.mark.parametrize("error", [EngineDeadError("gone"), PromptError("bad")])
async def test_all_are_told_when_the_engine_dies(error: EventSpecError) -> None:
    table = StreamTable()
    streams = [table.attach(opening(f"session-{i}")) for i in range(3)]
    table.fail_all(error)
    for stream in streams:
        data, end = drained(stream)
        assert data is not None
        assert end is None
        failure = codec.decode_cloud_message(data)
        assert isinstance(failure, Failure)
        assert failure.retryable is error.retryable
        assert stream.replaced  # nobody parks what the engine doesn't have


async def test_a_video_waits_for_its_session() -> None:
    table = StreamTable()
    waiting = asyncio.create_task(table.wait_for("session-0", timeout=30))
    other = asyncio.create_task(table.wait_for("session-9", timeout=0.01))
    stream = table.attach(opening())
    await asyncio.sleep(0)
    assert not waiting.done(), "the engine doesn't know the session yet"
    await table.announce(stream)
    assert await waiting
    assert not await other
    assert await table.wait_for("session-0", timeout=0)
    table.detach(stream)
    assert not await table.wait_for("session-0", timeout=0)
