"""The engine's loop: what can't be read or told of one session is that session's end, and nobody else's.

Whatever any field of any message says, the loop goes on, and a session beside it gets its answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import engine_process
from cloud.engine import Engine
from cloud.engine_process import EngineLoop
from cloud.engine_stats import EngineStats, EngineTotals, StatsPage
from cloud.engine_wire import pack_message, unpack
from cloud.engine_words import Broken, EngineWord, Told, pack_told, read_word
from cloud.messages import Alive, EngineMessage, Frames, LiveFrames, OpenClip, Park, VideoFailed
from cloud.state_page import StatePage, StateReader
from common import codec
from common.errors import EventSpecError, MessageError
from common.live import LiveWindow
from common.types import CloudMessage, Commit, Failure, FailureCode, Finished, FrameName, Open, Opened
from tests.cloud.engine_driver import opening, pixels, truth
from tests.common.every_value import ANY_ID, ANY_NUMBER, ANY_TEXT, any_message
from tests.fakes import FakeRunner

BYSTANDER, VICTIM = "session-good", "session-bad0"
TRUTH = truth(max_tokens=8)
steady = settings(derandomize=True, deadline=None, max_examples=100)


class Wire:
    """Stands in for the loop's end of the socket."""

    def __init__(self) -> None:
        self.incoming: list[list[bytes]] = []
        self.words: list[EngineWord] = []

    def send_multipart(self, frames: list[bytes]) -> None:
        self.words.append(read_word(frames))

    def recv_multipart(self, flags: int) -> list[bytes]:
        if not self.incoming:
            raise zmq.Again
        return self.incoming.pop(0)


class Turning:
    """A loop over the fake target, turned by hand."""

    def __init__(self, page: StatePage | None = None, stats: StatsPage | None = None) -> None:
        self.engine = Engine(FakeRunner())
        self.wire = Wire()
        socket: Any = self.wire
        self.loop = EngineLoop(self.engine, socket, os.getppid(), page=page, stats=stats)
        if page is not None:
            self.engine.at_work = page.on

    def give(self, session_id: str, message: EngineMessage) -> None:
        """As the front does; what fits into no message doesn't come so far."""
        try:
            self.wire.incoming.append(pack_message(session_id, message))
        except MessageError:
            return

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop._turn(True)

    def heard(self, session_id: str) -> list[CloudMessage]:
        return [word.message for word in self.wire.words if isinstance(word, Told) and word.session_id == session_id]

    def open_both(self) -> None:
        for name in (BYSTANDER, VICTIM):
            self.give(name, opening(name, max_tokens=8))

    def answer(self, session_id: str = BYSTANDER) -> list[int]:
        return [token for m in self.heard(session_id) if isinstance(m, Commit) for token in m.token_ids]


def test_a_name_that_fits_into_no_reply_ends_its_session_alone() -> None:
    """Eight pictures at 10^13 s: 10^19 microseconds, more than `Finished.frames` can hold, once ended the process."""
    turning = Turning()
    turning.open_both()
    turning.give(BYSTANDER, pixels())
    far = tuple(FrameName(n, 2**63 + n) for n in range(2))
    turning.give(VICTIM, Frames(pixels().pixels, names=far))
    turning.turn(20)
    *_, last = turning.heard(VICTIM)
    assert isinstance(last, Failure)
    assert last.code is FailureCode.ENGINE
    assert "can't go on with this session" in last.message
    assert not any(isinstance(m, Finished) for m in turning.heard(VICTIM))
    assert turning.answer() == TRUTH
    assert isinstance(turning.heard(BYSTANDER)[-1], Finished)
    assert VICTIM not in turning.engine._sessions
    turning.engine.check_integrity()


def test_nothing_is_told_to_a_session_after_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    turning = Turning()

    def told(session_id: str, message: CloudMessage) -> list[bytes]:
        if isinstance(message, Opened) and session_id == VICTIM:
            raise OverflowError("no such number")
        return pack_told(session_id, message)

    monkeypatch.setattr(engine_process, "pack_told", told)
    turning.give(VICTIM, opening(VICTIM, committed=tuple(TRUTH), epoch=1, max_tokens=8))  # opened, and finished at once
    turning.turn(3)
    (failure,) = turning.heard(VICTIM)
    assert isinstance(failure, Failure)


def test_a_message_that_cannot_be_read_ends_its_session_alone() -> None:
    turning = Turning()
    turning.open_both()
    turning.give(BYSTANDER, pixels())
    for bad in ("frames", "edge", "nonsense"):
        turning.wire.incoming.append(engine_process_frames(bad))
    turning.wire.incoming.append([b"no head at all"])
    turning.turn(20)
    assert isinstance(turning.heard(VICTIM)[-1], Failure)
    assert turning.answer() == TRUTH
    assert any(isinstance(word, Broken) for word in turning.wire.words)


def engine_process_frames(kind: str) -> list[bytes]:
    head, body = pack_message(VICTIM, VideoFailed("?"))
    return [head.replace(b"\xacvideo_failed", bytes((0xA0 + len(kind),)) + kind.encode()), body]


def test_a_wait_of_days_and_a_flood_of_tokens_fit_into_their_counts() -> None:
    """What lasts longer, or is more, than 32 bits can tell is told as that."""
    turning = Turning()
    turning.give(VICTIM, opening(VICTIM, max_tokens=8))
    turning.turn()
    session = turning.engine._sessions[VICTIM]
    session.over_credit = session.stale_drafts = 2**33
    session.work_since = time.monotonic() - 10 * 86_400
    turning.give(VICTIM, pixels())
    turning.turn(20)
    first = next(m for m in turning.heard(VICTIM) if isinstance(m, Commit))
    *_, finished = turning.heard(VICTIM)
    assert isinstance(finished, Finished)
    assert first.timings.queue_us == finished.over_credit == finished.stale_drafts == 2**32 - 1
    assert turning.answer(VICTIM) == TRUTH


@pytest.mark.parametrize("where", ["telling", "gauging"])
def test_an_engine_that_dies_after_a_step_has_said_whose_step_it_was(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, page = StateReader(tmp_path / "page"), StatePage(tmp_path / "page")
    EngineTotals().begin(tmp_path / "stats")
    turning = Turning(page, StatsPage(tmp_path / "stats"))
    turning.give(VICTIM, opening(VICTIM, max_tokens=8))
    turning.give(VICTIM, pixels())
    turning.turn()

    def dies(*arguments: object) -> Any:
        raise KeyboardInterrupt  # as a signal: not an exception that anybody answers for

    if where == "telling":
        monkeypatch.setattr(engine_process, "pack_told", dies)
    else:
        monkeypatch.setattr(turning.engine, "gauge", dies)
        turning.loop._counted = float("-inf")
    with pytest.raises(KeyboardInterrupt), page.turn():
        turning.turn()
    assert reader.working_on() == [VICTIM]


def test_counts_that_break_end_the_counting_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EngineTotals().begin(tmp_path / "stats")
    turning = Turning(stats=StatsPage(tmp_path / "stats"))
    monkeypatch.setattr(EngineStats, "words", lambda self: 1 // 0)
    turning.loop._counted = float("-inf")
    turning.open_both()
    turning.give(BYSTANDER, pixels())
    turning.turn(20)
    assert turning.answer() == TRUTH
    assert sum(isinstance(word, Broken) for word in turning.wire.words) == 1


NAMES = st.lists(st.builds(FrameName, number=ANY_NUMBER, time_us=ANY_NUMBER), max_size=3).map(tuple)
SHAPES = st.sampled_from([(0, 3, 2, 2), (1, 3, 2, 2), (2, 3, 2, 2), (2, 2), (3, 3, 2, 2), (1,)])
PIXELS = SHAPES.map(lambda shape: np.zeros(shape, dtype=np.float32))
OF_THE_FRONT: st.SearchStrategy[EngineMessage] = st.one_of(
    st.builds(
        Frames,
        PIXELS,
        first=ANY_NUMBER | st.integers(0, 2),
        decode_us=ANY_NUMBER,
        overruns=ANY_NUMBER,
        encoded=st.booleans(),
        names=NAMES,
    ),
    st.builds(LiveFrames, PIXELS, NAMES),
    st.builds(VideoFailed, ANY_TEXT),
    st.builds(OpenClip, live=st.none() | st.just(LiveWindow(10**6, 3)), again=st.booleans(), client=ANY_TEXT),
    st.sampled_from([Park(), Alive()]),
)


def _of_an_edge(data: bytes) -> EngineMessage:
    return codec.decode_edge_message(data)


@steady
@given(data=st.data())
def test_no_value_of_any_message_ends_the_loop(data: st.DataObject) -> None:
    turning = Turning()
    turning.open_both()
    turning.give(BYSTANDER, pixels())
    for _ in range(data.draw(st.integers(1, 6))):
        name = data.draw(st.just(VICTIM) | ANY_ID.filter(lambda text: text != BYSTANDER))
        try:
            message = data.draw(OF_THE_FRONT | any_message("SpeculateRequest").map(_checked))
            if isinstance(message, Open):
                name = message.session_id
        except EventSpecError:
            continue
        if message is not None and name != BYSTANDER:
            turning.give(name, message)
            turning.turn(data.draw(st.integers(0, 2)))
    turning.turn(20)
    assert turning.answer() == TRUTH
    turning.engine.check_integrity()


def _checked(data: bytes) -> Any:
    """An edge's message, if it is one."""
    try:
        return _of_an_edge(data)
    except MessageError:
        return None


@steady
@given(frames=st.lists(st.binary(max_size=40), max_size=3))
@pytest.mark.parametrize("read", [unpack, read_word])
def test_a_head_of_anything_is_a_message_or_a_message_error(
    read: Callable[[list[bytes]], Any], frames: list[bytes]
) -> None:
    with suppress(MessageError):
        read(frames)
