"""One session's trouble is its own: errors, deaths and silence, in the engine and around it; and what heals."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.processes import wait_gone
from cloud.blame import Blame
from cloud.config import EngineSettings
from cloud.engine_client import EngineProcess
from cloud.engine_limits import EngineLimits
from cloud.messages import Alive, Frames
from cloud.restarts import Restarts
from cloud.runner import ForwardResult, Work
from cloud.state_page import Held
from common.errors import EngineError
from common.types import Failure, FailureCode, Open, Pace
from tests.cloud.engine_driver import Bench, opening, pixels, truth
from tests.cloud.test_engine_process import Front
from tests.fakes import FakeRunner

# ------------------------------------------------------------------------------------------------------- in the engine


class Picky(FakeRunner):
    """Its forward raises whenever a certain slot is in it; counts the passes and who was in them."""

    bad_slot: int | None = None

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        self.seen = [*getattr(self, "seen", []), [work.slot for work in works]]
        if any(work.slot == self.bad_slot for work in works):
            raise RuntimeError("this one I don't like")
        return super().forward(works)


def test_an_exception_over_one_session_ends_that_session_alone() -> None:
    runner = Picky()
    bench = Bench(runner)
    for name in ("session-0", "session-1", "session-2"):
        bench.open(name)
    bench.prefill()
    runner.bad_slot = bench.engine._sessions["session-1"].slot
    bench.run()
    assert "I don't like" in bench.failure("session-1").message
    assert bench.answer("session-0") == bench.answer("session-2") == truth()
    runner.bad_slot = None
    bench.engine.check_integrity()
    bench.open("session-3")
    bench.run()
    assert bench.answer("session-3") == truth()


def test_suspects_run_alone_and_everybody_has_a_turn() -> None:
    runner = Picky()
    bench = Bench(runner)
    bench.engine.suspects = frozenset({"session-0", "session-2"})
    for name in ("session-0", "session-1", "session-2", "session-3"):
        bench.open(name)
    bench.run()
    for name in ("session-0", "session-1", "session-2", "session-3"):
        assert bench.answer(name) == truth()
    slots = {0, 2}
    assert all(len(seen) == 1 or not slots & set(seen) for seen in runner.seen)
    assert any(len(seen) == 2 for seen in runner.seen)


def test_who_is_worked_on_is_told_before() -> None:
    bench, told = Bench(), list[list[str]]()
    bench.engine.at_work = lambda names: told.append(list(names))
    bench.open("session-0")
    bench.open("session-1")
    bench.run()
    assert ["session-0"] in told or ["session-1"] in told
    assert ["session-0", "session-1"] in told


# -------------------------------------------------------------------------------------------------------------- leases


def lease_bench() -> Bench:
    return Bench(limits=EngineLimits(resume_ttl_s=20.0))


def test_the_lease_is_told_and_a_silent_edge_loses_its_session() -> None:
    bench = lease_bench()
    (opened,) = bench.give(opening("session-0"), "session-0")  # and no video, for ever
    assert getattr(opened, "lease_ms", 0) == 20_000
    assert bench.engine.expire(bench.now + 19.0) == []
    (output,) = bench.engine.expire(bench.now + 21.0)
    assert isinstance(output.message, Failure)
    assert (output.message.code, output.message.retryable) == (FailureCode.UNAVAILABLE, True)
    assert bench.engine.sessions == 0
    bench.engine.check_integrity()


def test_whatever_comes_renews_the_lease() -> None:
    bench = lease_bench()
    bench.give(opening("session-0"), "session-0")
    for _ in range(5):
        bench.now += 15.0
        bench.give(Alive(), "session-0")
        assert bench.engine.expire(bench.now) == []
    bench.give(pixels(), "session-0")
    bench.run()
    assert bench.answer() == truth()


def test_a_session_that_works_or_waits_its_turn_isnt_silent() -> None:
    bench = lease_bench()
    bench.open("session-0", pace=Pace.EAGER)
    assert bench.engine.expire(bench.now + 100.0) == []  # it is due: the cloud is what is late
    assert bench.engine.sessions == 1


def test_an_answer_that_nobody_closes_is_freed() -> None:
    bench = lease_bench()
    bench.open("session-0")
    bench.run()
    assert bench.engine.sessions == 1
    bench.engine.expire(bench.now + 21.0)
    assert bench.engine.sessions == 0


# --------------------------------------------------------------------------------------------------------------- books


def test_a_lost_slot_is_found_again() -> None:
    bench = Bench()
    bench.open()
    bench.engine._slots.free.remove(3)
    with pytest.raises(EngineError, match="KV slots leaked"):
        bench.engine.check_integrity()
    assert bench.engine.heal() == [3]
    bench.engine.check_integrity()
    bench.run()
    assert bench.answer() == truth()


@pytest.mark.parametrize(
    ("name", "value"),
    [("kv_length", 10_000), ("kv_length", -1), ("available", 10_000), ("max_tokens", 0)],
)
def test_lengths_that_make_no_sense_are_noticed(name: str, value: int) -> None:
    bench = Bench()
    bench.open()
    bench.prefill()
    bench.step()
    bench.engine.check_integrity()
    setattr(bench.engine._sessions["session-0"], name, value)
    with pytest.raises(EngineError, match="session-0"):
        bench.engine.check_integrity()


def test_frames_for_nobody_and_prompts_of_nobody_are_noticed() -> None:
    bench = Bench()
    bench.open()
    shapes = bench.engine._slots.shapes
    shapes["session-9"] = shapes["session-0"]
    with pytest.raises(EngineError, match="session-9"):
        bench.engine.check_integrity()
    del shapes["session-9"]
    bench.engine._frames.add("session-8", pixels())
    with pytest.raises(EngineError, match="session-8"):
        bench.engine.check_integrity()


def test_what_is_held_is_counted() -> None:
    bench = Bench()
    assert bench.engine.held == Held()
    bench.open()
    assert bench.engine.held == Held(sessions=1)


# -------------------------------------------------------------------------------------------------- blame and restarts


def test_who_was_there_twice_in_a_row_is_refused() -> None:
    blame = Blame()
    blame.died(["a", "b"])
    assert set(blame.suspects) == {"a", "b"}
    assert not blame.refused("a")
    blame.died(["a"])
    assert blame.refused("a")
    assert not blame.refused("b")
    assert blame.suspects == ["b"]
    assert not blame.refused("never seen")


def test_a_suspect_that_goes_on_is_forgiven_but_not_for_ever() -> None:
    blame = Blame()
    for _ in range(3):
        blame.died(["a"])
        blame.progressed("a")
        assert not blame.refused("a")
    blame.died(["a"])
    assert blame.refused("a")


def test_the_books_of_blame_are_bounded() -> None:
    blame = Blame()
    for number in range(5_000):
        blame.died([f"session-{number}"])
    assert len(blame.suspects) <= 1024


def test_backoff_grows_ends_in_a_clear_state_and_resets() -> None:
    restarts = Restarts()
    pauses = [restarts.died(0.0, did_something=False) for _ in range(7)]
    assert pauses[0] == 0.0
    assert pauses == sorted(pauses)
    assert not restarts.failed
    assert restarts.died(0.0, did_something=False) == 60.0
    assert restarts.failed
    restarts.worked()
    assert not restarts.failed
    assert restarts.died(0.1, did_something=False) == 0.0
    assert restarts.died(0.1, did_something=False) > 0.0
    assert restarts.died(0.1, did_something=True) == 0.0
    assert restarts.died(30.0, did_something=False) == 0.0


def test_engines_that_work_and_then_talk_nonsense_are_in_a_row() -> None:
    restarts = Restarts()
    pauses = []
    for _ in range(8):
        restarts.worked()
        pauses.append(restarts.died(1.0, did_something=True, condemned=True))
    assert pauses[0] == 0.0
    assert pauses == sorted(pauses)
    assert restarts.failed
    assert restarts.died(30.0, did_something=True, condemned=True) == 0.0


# ----------------------------------------------------------------------------------------------------- around a process


class Watched(Front):
    """A front whose engine takes orders, and whose steps may not take long."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.process = EngineProcess(
            EngineSettings(sessions=2, threads=1, step_timeout_s=3.0, faults=str(folder)),
            on_output=self._heard,
            on_death=lambda: self._happened("death"),
            on_notice=self._happened,
        )

    def order(self, **order: object) -> None:
        (self.folder / "order.json").write_text(json.dumps(order))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_step_that_hangs_twice_over_one_session_ends_in_its_refusal(tmp_path: Path) -> None:
    front = Watched(tmp_path)
    await front.process.start()
    try:
        expected = await front.answer("session-0")
        for deaths in (1, 2):
            front.order(do="hang", seconds=60)
            size = front.process.frames.size
            await front.process.send("session-1", Open("session-1", "What moves?", max_tokens=12))
            frames = np.zeros((front.process.frames.count, 3, size, size), dtype=np.float32)
            await front.process.send("session-1", Frames(frames))
            await front.until("death")
            await front.until("ready again")
            assert any("in one step for more than 3 s" in e for e in front.events)
            front.events.clear()
            assert front.process._blame.refused("session-1") == (deaths == 2)
        with pytest.raises(EngineError, match="more than once over this session"):
            await front.process.send("session-1", Open("session-1", "What moves?"))
        assert await front.answer("session-2") == expected
    finally:
        pid = front.process.pid
        await front.process.stop()
        assert pid is not None
        assert wait_gone([pid], 10.0) == []


@pytest.mark.timeout(300)
async def test_an_engine_that_never_starts_again_ends_in_a_clear_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = Watched(tmp_path)
    await front.process.start()
    monkeypatch.setattr("cloud.restarts._LONGEST_S", 0.0)

    async def broken() -> None:
        raise EngineError("the model is gone")

    monkeypatch.setattr(front.process, "start", broken)
    assert front.process.pid is not None
    os.kill(front.process.pid, 9)
    await front.until("refusing everybody")
    with pytest.raises(EngineError, match="dies again and again") as caught:
        await front.process.send("session-0", Open("session-0", "What?"))
    assert not caught.value.retryable
    await front.process.stop()
