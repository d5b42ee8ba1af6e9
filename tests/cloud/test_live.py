"""Live streams in the engine: a rolling window, prefilled when nobody else needs it, and answers about named frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.engine_limits import EngineLimits
from cloud.messages import Frames, LiveFrames, OpenClip, Park, VideoFailed
from cloud.scheduler import Budget
from common.live import LiveWindow
from common.types import Close, Failure, FailureCode, Finished, FrameName, Open, Opened, SamplingParams
from tests.cloud.engine_driver import QUESTION, Bench, opening, pixels, truth
from tests.fakes import TOKENS_PER_FRAME, VIDEO_FRAMES, FakeRunner, reference_answer

LIVE = "live-0000"
WINDOW = LiveWindow(1_000_000, 4)
VIDEO_END = 1 + VIDEO_FRAMES * TOKENS_PER_FRAME
LIMITS = EngineLimits(clip_ttl_s=60.0, resume_ttl_s=10.0, budget=Budget(least_chunk=1))


@pytest.fixture
def bench() -> Bench:
    return Bench(limits=LIMITS)


def frames(*numbers: int) -> LiveFrames:
    """One picture a second."""
    names = tuple(FrameName(number, number * 1_000_000 + 7) for number in numbers)
    return LiveFrames(np.zeros((len(numbers), *FakeRunner.pixels_shape), np.float32), names)


def begin(bench: Bench, *numbers: int, clip: str = LIVE, window: LiveWindow = WINDOW) -> None:
    bench.give(OpenClip(window), clip)
    if numbers:
        bench.give(frames(*numbers), clip)
    bench.run()


def ask(bench: Bench, session: str = "session-0", question: str = QUESTION, **changes: object) -> tuple[int, ...]:
    """Ask, let the engine come to rest, say goodbye; the numbers that the reply names."""
    bench.give(opening(session, question, clip=LIVE, **changes), session)
    bench.run()
    named = tuple(name.number for name in bench.finished(session).frames)
    assert bench.answer(session) == reference_answer(question, SamplingParams(), 40, named)
    bench.give(Close(), session)
    bench.engine.check_integrity()
    return named


def test_a_question_is_about_the_window_that_was_prefilled_already(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3, 4, 5)
    before = len(bench.runner.rows)
    assert ask(bench) == (2, 5)
    assert bench.runner.rows[before] == len(QUESTION)
    (opened,) = bench.heard(Opened)
    assert not opened.video_needed and opened.frames == bench.finished().frames


def test_each_question_gets_the_window_of_its_time(bench: Bench) -> None:
    begin(bench, 0)
    assert ask(bench, "session-0") == (0, 0)
    bench.give(frames(1), LIVE)
    bench.run()
    assert ask(bench, "session-1") == (0, 1)
    bench.give(frames(2, 3, 4), LIVE)
    bench.run()
    assert ask(bench, "session-2") == (1, 4)
    assert bench.runner.kept[0] == {1, 2, 3, 4}


def test_only_what_begins_as_before_keeps_its_keys_and_values(bench: Bench) -> None:
    begin(bench, 0, 1)
    rows = sum(bench.runner.rows)
    bench.give(frames(2), LIVE)
    bench.run()
    assert sum(bench.runner.rows) - rows == TOKENS_PER_FRAME  # (0, 1) became (0, 2)
    rows = sum(bench.runner.rows)
    bench.give(frames(4), LIVE)
    bench.run()
    assert sum(bench.runner.rows) - rows == VIDEO_FRAMES * TOKENS_PER_FRAME  # (1, 4)


def test_frames_that_come_during_an_answer_are_for_the_next(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    bench.give(opening("session-0", clip=LIVE), "session-0")
    for number in range(4, 12):
        bench.step()
        bench.give(frames(number), LIVE)
    bench.run()
    assert bench.answer() == reference_answer(QUESTION, SamplingParams(), 40, (0, 3))
    bench.give(Close(), "session-0")
    bench.run()
    before = len(bench.runner.rows)
    assert ask(bench, "session-1", "what else") == (8, 11)
    assert bench.runner.rows[before] == len("what else")  # refreshed while nobody asked


def test_a_second_question_at_once_gets_the_features_copied(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    bench.give(opening("session-0", clip=LIVE), "session-0")
    bench.give(frames(4), LIVE)
    bench.step()
    (opened,) = bench.give(opening("session-1", "another", clip=LIVE), "session-1")
    assert isinstance(opened, Opened) and not opened.video_needed
    bench.run()
    named = [tuple(n.number for n in bench.finished(s).frames) for s in ("session-0", "session-1")]
    assert named == [(0, 3), (1, 4)]
    assert bench.answer("session-1") == reference_answer("another", SamplingParams(), 40, (1, 4))


def test_the_frames_that_an_edge_names_are_used_or_asked_for(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3, 4)
    assert ask(bench, "session-0", frames=(1, 3)) == (1, 3)
    (opened,) = bench.give(opening("session-1", clip=LIVE, frames=(0, 3)), "session-1")
    assert isinstance(opened, Opened) and opened.video_needed and not opened.frames
    bench.give(Frames(pixels().pixels, names=(FrameName(0, 7), FrameName(3, 3_000_007))), "session-1")
    bench.run()
    assert [n.number for n in bench.finished("session-1").frames] == [0, 3]


def test_a_stream_without_frames_needs_the_video(bench: Bench) -> None:
    begin(bench)
    (opened,) = bench.give(opening("session-0", clip=LIVE), "session-0")
    assert isinstance(opened, Opened) and opened.video_needed
    bench.give(pixels(), "session-0")
    bench.run()
    assert bench.answer() == truth()


def test_a_lost_question_goes_on_with_its_frames(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    bench.give(opening("session-0", clip=LIVE), "session-0")
    bench.step()
    bench.give(Park(), "session-0")
    bench.give(frames(9), LIVE)
    bench.run()
    held = tuple(bench.answer())
    again = opening("session-0", clip=LIVE, epoch=1, committed=held, frames=(0, 3))
    (opened, *_) = bench.give(again, "session-0")
    assert isinstance(opened, Opened) and not opened.video_needed
    assert [n.number for n in opened.frames] == [0, 3]
    bench.run()
    assert bench.answer() == reference_answer(QUESTION, SamplingParams(), 40, (0, 3))


def test_an_engine_that_lost_everything_asks_for_the_named_frames(bench: Bench) -> None:
    begin(bench, 20, 21)
    committed = tuple(reference_answer(QUESTION, SamplingParams(), 40, (0, 3))[:2])
    again = opening("session-0", clip=LIVE, epoch=1, committed=committed, frames=(0, 3))
    (opened,) = bench.give(again, "session-0")
    assert isinstance(opened, Opened) and opened.video_needed


def test_a_stream_that_begins_again_repeats_nothing(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    encoded, rows = dict(bench.runner.kept), sum(bench.runner.rows)
    begin(bench, 1, 2, 3)
    assert (bench.runner.kept, sum(bench.runner.rows)) == (encoded, rows)
    begin(bench, 2, 3, 4)
    assert bench.runner.kept[0] == {1, 2, 3, 4}


def test_an_engine_that_cant_follow_leaves_frames_out(bench: Bench) -> None:
    begin(bench)
    for number in range(100):
        bench.give(frames(number), LIVE)  # no step in between
    bench.run()
    assert bench.runner.kept[0] == {96, 97, 98, 99}
    assert ask(bench) == (96, 99)


def test_refreshing_waits_for_everybody_else() -> None:
    bench = Bench(limits=EngineLimits(max_draft=4, budget=Budget(prompt_chunk=2, least_chunk=1)))
    begin(bench, 0, 1, 2, 3)
    bench.open("session-0", "busy")
    bench.prefill_of("session-0")
    bench.give(frames(4), LIVE)
    live, before = bench.engine._sessions[LIVE], len(bench.answer())
    while not bench.heard(Finished):
        known = len(bench.answer())
        bench.step()
        assert len(bench.answer()) > known  # every step serves the answer
        assert live.kv_length == 1  # and no other
    assert len(bench.answer()) > before + 3
    bench.give(Close(), "session-0")
    bench.run()
    assert live.kv_length == VIDEO_END
    assert max(bench.runner.rows[-3:]) <= 2  # a chunk at a time: a draft that comes waits for one at most


def test_features_of_all_streams_together_are_bounded() -> None:
    limits = EngineLimits(max_window_bytes=10 * FakeRunner.frame_bytes)
    bench = Bench(limits=limits)
    begin(bench, 0, 1)
    begin(bench, 0, 1, clip="live-0001")
    (refused,) = bench.give(OpenClip(WINDOW), "live-0002")
    assert isinstance(refused, Failure) and refused.code is FailureCode.CAPACITY
    bench.give(frames(0), "live-0002")
    bench.run()
    assert len(bench.runner.kept) == 2


def test_a_stream_that_had_to_go_comes_back_where_there_is_room() -> None:
    bench = Bench(runner=FakeRunner(slots=1), limits=LIMITS)
    begin(bench, 0, 1)
    bench.open("session-0")
    bench.give(OpenClip(WINDOW, again=True), LIVE)
    bench.give(frames(2), LIVE)
    bench.run()
    assert bench.answer() == truth()
    bench.give(Close(), "session-0")
    bench.give(OpenClip(WINDOW, again=True), LIVE)
    bench.give(frames(3), LIVE)
    bench.run()
    assert ask(bench, "session-1") == (3, 3)


def test_a_stream_that_fails_ends_no_answer(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    bench.give(opening("session-0", clip=LIVE), "session-0")
    assert bench.give(VideoFailed("damaged"), LIVE) == []
    bench.run()
    assert bench.answer() == reference_answer(QUESTION, SamplingParams(), 40, (0, 3))
    bench.give(Close(), "session-0")
    assert bench.engine.sessions == 0
    bench.engine.check_integrity()
    begin(bench, 0, 1)
    bench.give(VideoFailed("damaged"), LIVE)
    assert bench.engine.sessions == 0 and not bench.runner.kept


def test_a_stream_that_still_comes_doesnt_expire(bench: Bench) -> None:
    begin(bench, 0)
    bench.now += 59
    bench.give(frames(60), LIVE)
    bench.engine.expire(bench.now + 59)
    assert bench.engine.sessions == 1
    bench.engine.expire(bench.now + 61)
    assert bench.engine.sessions == 0 and not bench.runner.kept


def test_frames_of_another_size_end_the_stream(bench: Bench) -> None:
    begin(bench, 0)
    wrong = LiveFrames(np.zeros((1, 3, 9, 9), np.float32), (FrameName(1, 1_000_007),))
    (refused,) = bench.give(wrong, LIVE)
    assert isinstance(refused, Failure) and bench.engine.sessions == 0
    bench.engine.check_integrity()


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("frames"), st.integers(1, 4)),
        st.tuples(st.just("gap"), st.integers(1, 6)),
        st.tuples(st.just("ask"), st.integers(0, 2)),
        st.tuples(st.just("close"), st.integers(0, 2)),
        st.tuples(st.just("park"), st.integers(0, 2)),
        st.tuples(st.just("resume"), st.integers(0, 2)),
        st.tuples(st.just("step"), st.integers(1, 6)),
    ),
    max_size=40,
)


@settings(max_examples=120, deadline=None)
@given(EVENTS, st.integers(1, 5), st.integers(1, 9))
def test_every_answer_is_the_targets_on_the_frames_that_it_names(
    events: list[tuple[str, int]], cells: int, chunk: int
) -> None:
    limits = EngineLimits(max_draft=4, resume_ttl_s=1e9, budget=Budget(prompt_chunk=chunk, least_chunk=1))
    bench = Bench(limits=limits)
    bench.give(OpenClip(LiveWindow(1_000_000, cells)), LIVE)
    newest, asked, open_now, parked = -1, 0, dict[int, str](), dict[int, Open]()
    named: dict[str, tuple[int, ...]] = {}
    for kind, value in events:
        if kind == "frames":
            bench.give(frames(*range(newest + 1, newest + 1 + value)), LIVE)
            newest += value
        elif kind == "gap":
            newest += value
        elif kind == "ask" and value not in open_now:
            session = f"session-{asked}"
            asked += 1
            message = opening(session, f"question {asked}", clip=LIVE)
            (opened, *_) = bench.give(message, session)
            if isinstance(opened, Opened) and not opened.video_needed:
                named[session] = tuple(n.number for n in opened.frames)
                assert len(named[session]) == VIDEO_FRAMES
                open_now[value] = session
            else:
                bench.give(Close(), session)
        elif kind == "close" and value in open_now:
            bench.give(Close(), open_now.pop(value))
            parked.pop(value, None)
        elif kind == "park" and value in open_now and value not in parked:
            session = open_now[value]
            bench.give(Park(), session)
            parked[value] = bench.engine._sessions[session].open
        elif kind == "resume" and value in parked:
            session, first = open_now[value], parked.pop(value)
            epoch = bench.engine._sessions[session].epoch + 1
            held = tuple(bench.answer(session))
            again = opening(session, first.question, clip=LIVE, epoch=epoch, committed=held, frames=named[session])
            (opened, *_) = bench.give(again, session)
            assert isinstance(opened, Opened) and tuple(n.number for n in opened.frames) == named[session]
        else:
            for _ in range(value):
                bench.step()
        held_features = bench.runner.kept.get(bench.engine._slots.live.get(LIVE).session.slot, set())  # type: ignore[union-attr]
        assert len(held_features) <= cells
    bench.run()
    for value, session in open_now.items():
        if value not in parked:
            assert bench.finished(session)
    for session, numbers in named.items():
        question = f"question {int(session.split('-')[1]) + 1}"
        whole = reference_answer(question, SamplingParams(), 40, numbers)
        answer = bench.answer(session)
        assert answer == whole[: len(answer)]
    bench.engine.check_integrity()
