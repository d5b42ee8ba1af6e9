"""Mistakes of our own in the front: whatever a message makes them raise, its session is told, and no other notices."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from cloud.messages import EngineMessage, Frames
from common import codec
from common.types import Cancel, Failure, FailureCode, Finished, Open
from edge.video import Clip
from tests.cloud.test_service import SETTINGS, TRUTH, Cloud, clip, opening, serving, whole

__all__ = ["SETTINGS", "clip"]

ERRORS = [OverflowError("int too big"), ValueError("no such value"), KeyError("x"), MemoryError(), RecursionError()]


def breaking(served: Cloud, kind: type[EngineMessage], error: Exception) -> Any:
    """The engine's client, which breaks over one kind of message of the session `session-0`."""
    send = served.engine.send

    async def broken(session_id: str, message: EngineMessage) -> None:
        if session_id == "session-0" and isinstance(message, kind):
            raise error
        await send(session_id, message)

    return broken


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [Open, Cancel])
async def test_over_a_message_of_an_answer(
    monkeypatch: pytest.MonkeyPatch, clip: Clip, kind: type[EngineMessage], error: Exception
) -> None:
    async with serving(monkeypatch) as served:
        monkeypatch.setattr(served.engine, "send", breaking(served, kind, error))
        beside = await served.opened("session-1")
        peer = served.peer()
        await peer.say(opening("session-0"))
        if kind is Cancel:
            await peer.say(Cancel())
        failure = await peer.hear_until(Failure)
        assert failure.code is FailureCode.ENGINE
        assert "its log says why" in failure.message
        await served.send_video(whole(clip, "session-1"))
        await beside.hear_until(Finished)
        assert beside.answer == TRUTH


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_over_a_video(monkeypatch: pytest.MonkeyPatch, clip: Clip, error: Exception) -> None:
    async with serving(monkeypatch) as served:
        monkeypatch.setattr(served.engine, "send", breaking(served, Frames, error))
        peer, beside = await served.opened(), await served.opened("session-1")
        code, words = await served.refused_video(whole(clip))
        assert code is grpc.StatusCode.INTERNAL
        assert "its log says why" in words
        failure = await peer.hear_until(Failure)
        assert failure.code is FailureCode.VIDEO
        await served.send_video(whole(clip, "session-1"))
        await beside.hear_until(Finished)
        assert beside.answer == TRUTH


async def test_over_a_call_itself(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    async with serving(monkeypatch) as served:
        monkeypatch.setattr(codec, "decode_edge_message", lambda data: 1 // 0)
        peer = served.peer()
        await peer.say(opening("session-0"))
        assert (await peer.hear_until(Failure)).code is FailureCode.ENGINE
        monkeypatch.undo()
