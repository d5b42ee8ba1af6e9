"""The pure engine over the fake target: limits, capacity, drafts of every sort, loss, failure. No torch, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.engine_limits import EngineLimits
from cloud.messages import Frames, Park, VideoFailed
from cloud.runner import DraftStates, ForwardResult, Work
from cloud.scheduler import Budget
from common.errors import EngineError
from common.prefix_hash import prefix_hash
from common.types import (
    Cancel,
    Close,
    Commit,
    Draft,
    DrafterInfo,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    Opened,
    Pace,
    Progress,
    SamplingParams,
    Stage,
    StateEncoding,
    Tensor,
)
from tests.cloud.engine_driver import QUESTION, Bench, opening, pixels, truth
from tests.fakes import EOS, FakeRunner


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_alone_the_target_answers(bench: Bench) -> None:
    (opened,) = bench.open()
    assert opened == Opened("session-0", 40, 4, 0, True, lease_ms=10_000, draft_limit=16)
    bench.run()
    assert bench.answer() == truth()
    assert bench.finished().length == len(truth())
    assert bench.finished().target_passes == len(truth())
    assert bench.finished().reason is (FinishReason.STOP if truth()[-1] == EOS else FinishReason.LENGTH)
    stages = [p.stage for p in bench.heard(Progress)]
    assert sorted(stages, key=list(Stage).index) == list(Stage)  # each once, whatever the order


def test_a_few_tokens_before_the_video_wait_for_it(bench: Bench) -> None:
    bench.give(opening())
    bench.run()
    assert bench.runner.rows == []
    assert bench.engine.next_due() is None
    bench.give(pixels())
    bench.run()
    assert bench.answer() == truth()


def test_the_prompt_before_the_video_is_fed_before_it_comes() -> None:
    bench = Bench(limits=EngineLimits(budget=Budget(least_chunk=1)))
    bench.give(opening())
    bench.run()
    assert bench.runner.rows == [1]
    assert bench.engine.next_due() is None
    bench.give(pixels(1))
    bench.run()
    assert sum(bench.runner.rows) == 4
    bench.give(Frames(pixels(1).pixels, first=1))
    bench.run()
    assert bench.answer() == truth()


def test_prompt_chunks_change_nothing() -> None:
    bench = Bench(limits=EngineLimits(budget=Budget(prompt_chunk=5)))
    bench.open()
    bench.run()
    assert max(bench.runner.rows) <= 5
    assert bench.answer() == truth()


def test_right_drafts_save_passes(bench: Bench) -> None:
    bench.open()
    bench.draft(truth()[:3])
    bench.prefill()
    (commit,) = bench.heard(Commit)
    assert (commit.token_ids, commit.drafted, commit.accepted) == (tuple(truth()[:4]), 3, 3)
    bench.run()
    assert bench.answer() == truth()
    assert bench.finished().target_passes == len(truth()) - 3


@pytest.mark.parametrize("seed", range(5))
def test_sampling_is_the_targets(bench: Bench, seed: int) -> None:
    sampling = SamplingParams(1.0, seed=seed)
    bench.open(sampling=sampling)
    bench.draft(truth(sampling=sampling)[:2])
    bench.run()
    assert bench.answer() == truth(sampling=sampling)
    assert sum(c.accepted for c in bench.heard(Commit)) == 2


# ------------------------------------------------------------------------------------------------- drafts


def hostile_drafts() -> dict[str, Draft]:
    right, start = tuple(truth()[:3]), prefix_hash([])
    return {
        "wrong epoch": Draft(1, 5, 0, start, right),
        "wrong base": Draft(1, 0, 3, start, right),
        "base in the far future": Draft(1, 0, 2**32 - 1, start, right),
        "wrong hash": Draft(1, 0, 0, start ^ 99, right),
        "wrong hash, ahead": Draft(1, 0, 2, 12345, right),
        "id at the vocabulary's end": Draft(1, 0, 0, start, (*right, FakeRunner.vocab_size)),
        "largest id": Draft(1, 0, 0, start, (2**32 - 1,)),
        "oversized": Draft(1, 0, 0, start, (5,) * 50_000),
        "empty": Draft(1, 0, 0, start),
        "only stop tokens": Draft(1, 0, 0, start, (EOS,) * 4),
    }


@pytest.mark.parametrize("name", hostile_drafts())
@pytest.mark.parametrize("when", ["before the prefill", "between passes", "after the end"])
def test_hostile_drafts_cost_time_at_most(bench: Bench, name: str, when: str) -> None:
    bench.open()
    bench.open("session-1", "another question")
    if when == "between passes":
        bench.prefill()
        bench.step()
    elif when == "after the end":
        bench.run()
    for draft_id in (1, 1, 2):  # the second one is the first again
        hostile = hostile_drafts()[name]
        again = Draft(
            draft_id,
            hostile.epoch,
            hostile.base_position,
            hostile.prefix_hash,
            hostile.token_ids,
            hostile.hidden_states,
        )
        assert bench.give(again) == []
    bench.run()
    assert bench.answer() == truth()
    assert bench.answer("session-1") == truth("another question")
    bench.engine.check_integrity()


class HeadRunner(FakeRunner):
    """Takes hidden states whose first entry is the id; fails on negative ones."""

    def draft_ids(self, states: DraftStates) -> list[int]:
        if states.rows.min() < 0:
            raise RuntimeError("CUDA out of memory")
        return super().draft_ids(states)


def states(ids: Sequence[float], *, width: int = FakeRunner.hidden_size, dtype: str = "float32") -> Draft:
    rows = np.zeros((len(ids), width), dtype=dtype)
    rows[:, 0] = ids
    return Draft(1, 0, 0, prefix_hash([]), (), Tensor(dtype, rows.shape, rows.tobytes()))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_drafts_of_hidden_states_are_verified_like_any_other(dtype: str) -> None:
    bench = Bench(HeadRunner())
    bench.open()
    assert bench.give(states([*truth()[:2], 9, 9], dtype=dtype)) == []
    bench.run()
    assert bench.answer() == truth()
    assert bench.heard(Commit)[0].accepted == 2


def hostile_states() -> dict[str, Draft]:
    good = states([5, 6])
    scales = Tensor("float16", (2,), np.ones(2, dtype=np.float16).tobytes())
    int8 = replace(states([5, 6], dtype="int8"), encoding=StateEncoding.INT8, scales=scales)
    return {
        "another width": states([5], width=8),
        "no width": replace(good, hidden_states=Tensor("float32", (2, 0), b"")),
        "bytes that claim to be numbers": states([5], dtype="int8"),
        "too many": states([5] * 17),
        "not numbers": states([float("nan"), 5]),
        "infinite": states([float("inf"), 5]),
        "one dimension": replace(good, hidden_states=Tensor("float32", (8,), bytes(32))),
        "bytes without scales": replace(int8, scales=None),
        "scales of others": replace(int8, scales=Tensor("float16", (1,), scales.data[:2])),
        "scales that are no numbers": replace(int8, scales=Tensor("float16", (2,), b"\xff\x7f" * 2)),
        "scales that are bytes": replace(int8, scales=Tensor("int8", (2,), b"\x01\x01")),
        "scales for numbers": replace(good, scales=scales),
        "context before the answer": replace(good, context=1),
        "nothing but context": replace(good, context=2, base_position=2),
        "a context without end": replace(good, context=2**31, base_position=2**31),
        "of another epoch": replace(good, epoch=3),
    }


@pytest.mark.parametrize("name", hostile_states())
def test_hidden_states_that_make_no_sense_are_dropped(name: str) -> None:
    bench = Bench(HeadRunner())
    bench.open()
    draft = hostile_states()[name]
    for draft_id in (1, 1, 2):
        assert bench.give(replace(draft, draft_id=draft_id)) == []
    bench.run()
    assert bench.answer() == truth()
    assert bench.finished().stale_drafts == 3
    bench.engine.check_integrity()


def test_hidden_states_of_the_middle_of_nowhere_cost_time_at_most() -> None:
    bench = Bench(HeadRunner())
    bench.open()
    for draft_id, (base, follows) in enumerate([(2**31, 0), (1, 7), (2**31, 2**63), (0, 9)], start=1):
        assert bench.give(replace(states([5, 6]), draft_id=draft_id, base_position=base, follows=follows)) == []
    bench.run()
    assert bench.answer() == truth()
    bench.engine.check_integrity()


def test_what_follows_a_hidden_draft_is_pending_behind_it() -> None:
    """Which ids the first became, only the cloud knows: the second names it."""
    bench = Bench(HeadRunner())
    bench.open()
    bench.give(states(truth()[:2]))
    more = replace(states(truth()[2:4]), draft_id=2, base_position=2, prefix_hash=99, follows=1)
    bench.give(more)
    alien = replace(states([9]), draft_id=3, base_position=4, prefix_hash=99, follows=1)
    bench.give(alien)
    bench.run()
    assert bench.answer() == truth()
    assert bench.heard(Commit)[0].accepted == 4
    assert bench.finished().stale_drafts == 1


def test_context_rows_are_no_drafts() -> None:
    bench = Bench(HeadRunner())
    bench.open()
    draft = replace(states([9, 9, *truth()[2:4]]), base_position=2, prefix_hash=prefix_hash(truth()[:2]), context=2)
    bench.prefill()
    while len(bench.answer()) < 2:
        bench.step()
    bench.give(draft)
    bench.run()
    assert bench.answer() == truth()
    assert sum(c.accepted for c in bench.heard(Commit)) == 4 - len(truth()[:2])


def test_a_head_that_fails_fails_its_session_only() -> None:
    bench = Bench(HeadRunner())
    bench.open()
    bench.open("session-1")
    (failure,) = bench.give(states([-1]))
    assert isinstance(failure, Failure)
    assert failure.code is FailureCode.ENGINE
    assert "CUDA out of memory" in failure.message
    bench.run()
    assert bench.answer("session-1") == truth()
    assert bench.engine.sessions == 1
    bench.engine.check_integrity()


def test_drafts_late_twice_and_out_of_order(bench: Bench) -> None:
    answer = truth()
    bench.open(pace=Pace.PATIENT, patience_ms=1_000)
    bench.prefill()
    drafts = [Draft(i + 1, 0, 1 + i, prefix_hash(answer[: 1 + i]), tuple(answer[1 + i : 3 + i])) for i in range(6)]
    for index in (4, 5, 2, 0, 0, 3, 1, 2):
        bench.give(drafts[index])
    bench.run()
    assert bench.answer() == answer
    assert sum(c.accepted for c in bench.heard(Commit)) >= 6
    assert bench.finished().stale_drafts == 2  # the ones that came twice
    assert bench.give(drafts[1]) == []


def test_a_stop_token_inside_an_accepted_run_cuts_it() -> None:
    bench = Bench(limits=EngineLimits(max_draft=64))
    question = next(q for q in (f"question {i}" for i in range(99)) if 4 < len(truth(q)) < 30)
    answer = truth(question)
    assert answer[-1] == EOS
    bench.open(question=question)
    bench.draft([*answer, 5, 6, 7])
    bench.prefill()
    (commit,) = bench.heard(Commit)
    assert list(commit.token_ids) == answer
    assert bench.finished() == Finished(FinishReason.STOP, len(answer), 1, 0)
    assert bench.engine.next_due() is None


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_length_limit_cuts_an_accepted_run(bench: Bench, limit: int) -> None:
    bench.open(max_tokens=limit)
    bench.draft(truth()[:4])
    bench.run()
    assert bench.answer() == truth()[:limit]
    assert bench.finished().reason is FinishReason.LENGTH
    assert bench.finished().length == limit


def test_a_patient_session_decodes_alone_at_its_deadline(bench: Bench) -> None:
    bench.open(pace=Pace.PATIENT, patience_ms=250)
    bench.prefill()
    first = bench.now
    assert bench.engine.next_due() == pytest.approx(first + 0.25)
    assert bench.step(0.24) == []
    assert len(bench.step(0.02)) == 1
    assert len(bench.answer()) == 2
    bench.draft(truth()[2:4])
    due = bench.engine.next_due()
    assert due is not None
    assert due <= bench.now
    bench.step()
    assert len(bench.answer()) == 5


def test_the_queue_told_is_the_newest_drafts_not_the_time_that_the_cloud_waited_for_it(bench: Bench) -> None:
    bench.open(pace=Pace.PATIENT, patience_ms=5_000)
    bench.prefill()
    bench.now += 0.2  # the link's round trip: nothing is due
    bench.draft(truth()[1:3])
    bench.step(0.03)
    assert bench.heard(Commit)[-1].timings.queue_us == 30_000
    bench.draft(truth()[4:6])
    bench.now += 0.5  # the engine is busy with others
    bench.draft(truth()[6:8], prefix=truth()[:6])
    bench.step(0.01)
    last = bench.heard(Commit)[-1]
    assert (last.draft_id, last.timings.queue_us) == (3, 10_000)


def test_without_drafts_the_queue_counts_from_the_end_of_the_pass_before(bench: Bench) -> None:
    bench.open()
    bench.prefill()
    bench.step(0.025)
    assert bench.heard(Commit)[-1].timings.queue_us == 25_000 - 1_000  # the fake forward takes a millisecond


# --------------------------------------------------------------------------------------- limits and capacity


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"wire_version": 99}, FailureCode.MISMATCH, "wire version 99"),
        ({"drafter": DrafterInfo("d", "other", 50, 8)}, FailureCode.MISMATCH, "different tokenizers"),
        ({"max_tokens": 0}, FailureCode.INVALID, "at least 1"),
        ({"patience_ms": 5_001}, FailureCode.INVALID, "patience"),
        ({"question": "  "}, FailureCode.INVALID, "empty"),
        ({"question": "x" * 600}, FailureCode.INVALID, "at most 512 are allowed"),
        ({"epoch": 1, "committed": (3,) * 513}, FailureCode.INVALID, "longer than the longest"),
        ({"epoch": 1, "committed": (3, 50)}, FailureCode.INVALID, "outside the target's vocabulary"),
        ({"epoch": 1, "committed": (2**32 - 1,)}, FailureCode.INVALID, "outside the target's vocabulary"),
    ],
)
def test_an_open_beyond_the_limits_gets_one_clear_failure(
    changes: dict[str, Any], code: FailureCode, words: str
) -> None:
    bench = Bench(FakeRunner(capacity=2_000))
    bench.open("session-1")
    (failure,) = bench.give(opening(**changes))
    assert isinstance(failure, Failure)
    assert failure.code is code
    assert words in failure.message
    assert not failure.retryable
    assert bench.engine.sessions == 1
    bench.engine.check_integrity()
    bench.run()
    assert bench.answer("session-1") == truth()


def test_a_prompt_that_fills_its_slot_is_refused() -> None:
    bench = Bench(FakeRunner(capacity=30))
    (failure,) = bench.give(opening(question="x" * 30))
    assert isinstance(failure, Failure)
    assert "don't fit" in failure.message
    bench.engine.check_integrity()


def test_the_slot_limits_the_answer() -> None:
    bench = Bench(FakeRunner(slots=1, capacity=40))
    question = "y" * 20
    (opened,) = bench.open(question=question)
    assert isinstance(opened, Opened)
    assert opened.max_tokens == 40 - 27
    while bench.engine.next_due() is not None:
        bench.draft(truth(question)[len(bench.answer()) :][:8])
        bench.step()
    assert bench.answer() == truth(question, 13)


def test_a_full_engine_says_so_and_takes_the_next_when_one_leaves() -> None:
    bench = Bench(FakeRunner(slots=2))
    bench.open("session-0")
    bench.open("session-1")
    (failure,) = bench.give(opening("session-2"), "session-2")
    assert isinstance(failure, Failure)
    assert failure.code is FailureCode.CAPACITY
    assert failure.retryable
    bench.give(Close(), "session-0")
    (opened,) = bench.open("session-2")
    assert isinstance(opened, Opened)
    bench.run()
    assert bench.answer("session-1") == bench.answer("session-2") == truth()


def test_a_session_id_in_use_isnt_given_away(bench: Bench) -> None:
    bench.open()
    bench.prefill()
    (failure,) = bench.give(opening(question="mine now"))
    assert isinstance(failure, Failure)
    assert failure.code is FailureCode.CAPACITY
    bench.run()
    assert bench.answer() == truth()


def test_words_to_a_session_that_is_gone_are_dropped(bench: Bench) -> None:
    for message in (Draft(1, 0, 0, 0, (5,)), pixels(), VideoFailed("x"), Cancel(), Park(), Close()):
        assert bench.give(message) == []
    assert bench.step() == []


# ----------------------------------------------------------------------------------------------------- video


def test_frames_of_another_size_fail_their_session_only(bench: Bench) -> None:
    bench.give(opening())
    bench.open("session-1")
    (failure,) = bench.give(Frames(np.zeros((2, 3, 5, 5), dtype=np.float32)))
    assert isinstance(failure, Failure)
    assert "frames must be (3, 2, 2)" in failure.message
    bench.run()
    assert bench.answer("session-1") == truth()
    assert bench.engine.sessions == 1


def test_a_video_that_comes_again_is_taken_once(bench: Bench) -> None:
    bench.give(opening())
    for frames in (pixels(1), pixels(1), pixels(2), pixels(2), Frames(pixels(2).pixels, first=2)):
        bench.give(frames)
        bench.step()
    bench.give(Frames(pixels(1).pixels, first=7))
    bench.run()
    assert bench.answer() == truth()


def test_a_failed_video_fails_its_session_only(bench: Bench) -> None:
    bench.give(opening())
    bench.open("session-1")
    (failure,) = bench.give(VideoFailed("no decoder for nonsense"))
    assert failure == Failure(FailureCode.VIDEO, "no decoder for nonsense")
    bench.run()
    assert bench.answer("session-1") == truth()
    assert bench.engine.sessions == 1


def test_a_session_that_leaves_takes_its_frames_along(bench: Bench) -> None:
    bench.open()
    bench.open("session-1")
    bench.give(Close())
    bench.run()
    assert bench.answer("session-1") == truth()
    assert bench.heard(Commit) == []


# ----------------------------------------------------------------------------------------- cancel, loss, resume


def test_cancel_ends_the_answer_and_close_frees_the_slot(bench: Bench) -> None:
    bench.open()
    bench.prefill()
    (finished,) = bench.give(Cancel())
    assert finished == Finished(FinishReason.CANCELLED, 1, 1, 0)
    assert bench.engine.next_due() is None
    assert bench.step() == []
    bench.give(Close())
    assert bench.engine.sessions == 0
    bench.engine.check_integrity()


def test_cancel_before_the_video_comes(bench: Bench) -> None:
    bench.give(opening())
    assert isinstance(bench.give(Cancel())[0], Finished)
    bench.give(pixels())
    bench.run()
    assert bench.heard(Commit) == []


def test_a_finished_answer_isnt_cancelled_any_more(bench: Bench) -> None:
    bench.open()
    bench.run()
    (finished,) = bench.give(Cancel())
    assert isinstance(finished, Finished)
    assert finished.reason is not FinishReason.CANCELLED


def test_resume_on_the_same_replica_gives_what_the_edge_missed(bench: Bench) -> None:
    bench.open()
    bench.prefill()
    for _ in range(4):
        bench.step()
    bench.give(Park())
    assert bench.engine.next_due() is None
    held = tuple(bench.answer()[:2])
    before = bench.runner.forwards
    opened, commit = bench.give(opening(epoch=1, committed=held))
    assert opened == Opened("session-0", 40, 4, 5, video_needed=False, lease_ms=10_000, draft_limit=21)
    assert commit == Commit(2, tuple(truth()[2:5]))
    bench.run()
    assert bench.answer() == truth()
    assert bench.runner.forwards == before + len(truth()) - 5  # nothing is computed again


def test_resume_during_the_upload_asks_for_the_video_again(bench: Bench) -> None:
    bench.give(opening())
    bench.give(pixels(1))
    bench.run()
    bench.give(Park())
    (opened,) = bench.give(opening(epoch=1))
    assert isinstance(opened, Opened)
    assert opened.video_needed
    bench.give(pixels(2))
    bench.run()
    assert bench.answer() == truth()


@pytest.mark.parametrize("held", [0, 1, 7])
def test_resume_on_another_replica_computes_what_is_missing(held: int) -> None:
    other = Bench()
    (opened,) = other.open(epoch=3, committed=tuple(truth()[:held]))
    assert opened == Opened("session-0", 40, 4, held, video_needed=True, lease_ms=10_000, draft_limit=held + 16)
    other.run()
    assert truth()[:held] + [t for c in other.heard(Commit) for t in c.token_ids] == truth()
    assert all(c.start_position >= held for c in other.heard(Commit))


def test_resume_of_a_finished_answer_says_so_at_once(bench: Bench) -> None:
    bench.open()
    bench.run()
    bench.give(Park())
    replies = bench.give(opening(epoch=1, committed=tuple(truth()[:3])))
    assert [type(r) for r in replies] == [Opened, Commit, Finished]
    other = Bench()
    replies = other.give(opening(epoch=1, committed=tuple(truth())))
    assert [type(r) for r in replies] == [Opened, Finished]
    assert other.engine.next_due() is None


def test_a_resume_with_another_answer_starts_from_the_edges_word(bench: Bench) -> None:
    bench.open()
    bench.prefill()
    bench.give(Park())
    ahead = tuple(truth()[:9])  # another replica went on meanwhile
    (opened,) = bench.give(opening(epoch=2, committed=ahead))
    assert isinstance(opened, Opened)
    assert opened.video_needed
    bench.give(pixels())
    bench.said.clear()
    bench.run()
    assert [t for c in bench.heard(Commit) for t in c.token_ids] == truth()[9:]
    bench.engine.check_integrity()


def test_stale_drafts_of_the_lost_stream_are_dropped(bench: Bench) -> None:
    bench.open()
    bench.prefill()
    bench.give(Park())
    bench.give(opening(epoch=1, committed=tuple(bench.answer())))
    bench.give(Draft(1, 0, 1, prefix_hash(bench.answer()), tuple(truth()[1:3])))
    bench.step()
    assert bench.heard(Commit)[-1].drafted == 0
    bench.run()
    assert bench.finished().stale_drafts == 1


def test_parked_sessions_expire() -> None:
    bench = Bench(FakeRunner(slots=1))
    bench.open()
    bench.prefill()
    bench.give(Park())
    bench.now += 9.9
    (failure,) = bench.give(opening("session-1"), "session-1")
    assert isinstance(failure, Failure)
    bench.now += 0.2
    (opened,) = bench.open("session-1")
    assert isinstance(opened, Opened)
    assert bench.engine.sessions == 1
    bench.give(Park(), "session-1")
    bench.engine.expire(bench.now + 10)
    assert bench.engine.sessions == 0
    bench.engine.check_integrity()


# --------------------------------------------------------------------------------------------------- failures


class BreakingRunner(FakeRunner):
    """Fails where it is told to."""

    break_forward = False
    break_encode = False

    def forward(self, works: Sequence[Work]) -> ForwardResult:
        if self.break_forward:
            raise RuntimeError("CUDA out of memory")
        return super().forward(works)

    def encode(self, slot: int, pixels: NDArray[np.float32]) -> int:
        if self.break_encode:
            raise RuntimeError("no room for features")
        return super().encode(slot, pixels)


def test_an_exception_in_the_forward_fails_the_sessions_of_that_step_only() -> None:
    runner = BreakingRunner()
    bench = Bench(runner)
    bench.open("session-0")
    bench.open("session-1", "another one")
    bench.prefill()
    bench.open("session-2", pace=Pace.PATIENT, patience_ms=5_000)
    bench.prefill()
    bench.give(opening("session-3"), "session-3")
    bench.step()
    runner.break_forward = True
    bench.step()
    runner.break_forward = False
    for session_id in ("session-0", "session-1"):
        assert bench.failure(session_id).code is FailureCode.ENGINE
        assert "CUDA out of memory" in bench.failure(session_id).message
    assert bench.engine.sessions == 2
    bench.give(pixels(), "session-3")
    bench.run()
    assert bench.answer("session-2") == bench.answer("session-3") == truth()
    bench.open("session-0")
    bench.run()
    bench.engine.check_integrity()


def test_an_exception_in_the_vision_tower_fails_one_session() -> None:
    runner = BreakingRunner()
    bench = Bench(runner)
    bench.open("session-1")
    bench.prefill()
    runner.break_encode = True
    bench.open()
    bench.step()
    runner.break_encode = False
    assert "no room for features" in bench.failure().message
    bench.run()
    assert bench.answer("session-1") == truth()
    assert bench.engine.sessions == 1
    bench.engine.check_integrity()


def test_logits_that_arent_finite_fail_one_session(bench: Bench) -> None:
    bench.open()
    bench.open("session-1", "another")
    bench.prefill()
    bench.runner.fail_slots = {0}
    bench.run()
    assert "aren't finite" in bench.failure().message
    assert not bench.failure().retryable
    assert bench.answer("session-1") == truth("another")
    bench.runner.fail_slots = set()
    bench.open("session-2")
    bench.run()
    assert bench.answer("session-2") == truth()
    bench.engine.check_integrity()


def test_check_integrity_notices_a_leak(bench: Bench) -> None:
    bench.open()
    bench.engine.check_integrity()
    bench.engine._sessions["session-0"].slot = 3
    with pytest.raises(EngineError, match="KV slots leaked"):
        bench.engine.check_integrity()


def test_many_sessions_at_once_are_each_their_own() -> None:
    bench = Bench(FakeRunner(slots=8), EngineLimits(max_draft=3, budget=Budget(prompt_chunk=16, answering=20)))
    asked = {f"session-{i}": (QUESTION * (1 + i % 3))[: 20 + i] for i in range(8)}
    for index, (session_id, question) in enumerate(asked.items()):
        pace = list(Pace)[index % 2]
        bench.open(session_id, question, max_tokens=5 + 6 * index, pace=pace, patience_ms=20)
        bench.draft(truth(question)[: index % 4] or [7], session_id)
        bench.step()
    bench.run()
    for index, (session_id, question) in enumerate(asked.items()):
        assert bench.answer(session_id) == truth(question, 5 + 6 * index)
    stats = bench.engine.stats
    assert stats.committed == sum(len(bench.answer(s)) for s in asked)
    assert stats.target_passes == sum(bench.finished(s).target_passes for s in asked)
