"""Videos that come before their question: prefilled ahead, lent to one question after the other, never in the way."""

from __future__ import annotations

import numpy as np
import pytest

from cloud.engine_limits import EngineLimits
from cloud.messages import Frames, OpenClip, Park, VideoFailed
from cloud.scheduler import Budget
from common.types import Close, Failure, FailureCode, Opened, Progress, Stage
from tests.cloud.engine_driver import QUESTION, Bench, opening, pixels, truth
from tests.fakes import TOKENS_PER_FRAME, VIDEO_FRAMES, FakeRunner

CLIP = "clip-0000"
VIDEO_END = 1 + VIDEO_FRAMES * TOKENS_PER_FRAME


@pytest.fixture
def bench() -> Bench:
    return Bench(limits=EngineLimits(clip_ttl_s=60.0, resume_ttl_s=10.0, budget=Budget(least_chunk=1)))


def ahead(bench: Bench, frames: int = VIDEO_FRAMES, clip: str = CLIP) -> None:
    bench.give(OpenClip(), clip)
    bench.give(pixels(frames), clip)
    bench.run()


def ask(bench: Bench, session: str, question: str = QUESTION, clip: str = CLIP) -> list[int]:
    """Ask, let the engine come to rest, say goodbye."""
    bench.give(opening(session, question, clip=clip), session)
    bench.run()
    bench.give(Close(), session)
    bench.engine.check_integrity()
    return bench.answer(session)


def test_the_video_is_prefilled_before_anyone_asks(bench: Bench) -> None:
    ahead(bench)
    assert sum(bench.runner.rows) == VIDEO_END
    before = len(bench.runner.rows)
    assert ask(bench, "session-0") == truth()
    assert bench.runner.rows[before] == len(QUESTION)  # only the question is left
    assert [opened.video_needed for opened in bench.heard(Opened)] == [False]
    assert [told.stage for told in bench.heard(Progress)] == [Stage.PREFILL]


def test_further_questions_begin_at_the_same_place(bench: Bench) -> None:
    ahead(bench)
    for number, question in enumerate([QUESTION, "another one", QUESTION]):
        before = len(bench.runner.rows)
        assert ask(bench, f"session-{number}", question) == truth(question)
        assert bench.runner.rows[before] == len(question)


def test_a_question_in_the_middle_of_the_video_gets_the_rest(bench: Bench) -> None:
    ahead(bench, frames=1)
    bench.give(opening("session-0", clip=CLIP), "session-0")
    bench.run()
    assert bench.answer() == []
    bench.give(Frames(pixels(1).pixels, first=1), CLIP)
    bench.run()
    assert bench.answer() == truth()


def test_a_question_that_is_taken_back_leaves_the_rest_to_the_clip(bench: Bench) -> None:
    ahead(bench, frames=1)
    bench.give(opening("session-0", clip=CLIP), "session-0")
    bench.give(Close(), "session-0")
    bench.give(Frames(pixels(1).pixels, first=1), CLIP)
    bench.run()
    assert ask(bench, "session-1") == truth()


def test_a_video_that_is_sent_again_changes_nothing(bench: Bench) -> None:
    ahead(bench)
    ahead(bench)
    assert sum(bench.runner.rows) == VIDEO_END
    assert ask(bench, "session-0") == truth()


def test_two_questions_at_once_the_second_needs_the_video(bench: Bench) -> None:
    ahead(bench)
    bench.give(opening("session-0", clip=CLIP), "session-0")
    (opened,) = bench.give(opening("session-1", clip=CLIP), "session-1")
    assert isinstance(opened, Opened) and opened.video_needed
    bench.give(pixels(), "session-1")
    bench.run()
    assert bench.answer("session-0") == bench.answer("session-1") == truth()


def test_an_unknown_clip_needs_the_video(bench: Bench) -> None:
    (opened,) = bench.give(opening("session-0", clip="clip-never-seen"), "session-0")
    assert isinstance(opened, Opened) and opened.video_needed
    bench.give(pixels(), "session-0")
    bench.run()
    assert bench.answer() == truth()


def test_a_lost_question_goes_on_and_the_clip_comes_back(bench: Bench) -> None:
    ahead(bench)
    bench.give(opening("session-0", clip=CLIP), "session-0")
    bench.step()
    bench.give(Park(), "session-0")
    bench.run()
    held = bench.answer()
    (opened, *_) = bench.give(opening("session-0", clip=CLIP, epoch=1, committed=tuple(held)), "session-0")
    assert isinstance(opened, Opened) and not opened.video_needed
    bench.run()
    assert bench.answer() == truth()
    bench.give(Close(), "session-0")
    assert ask(bench, "session-1", "what else") == truth("what else")


def test_idle_clips_make_room_for_sessions() -> None:
    bench = Bench(runner=FakeRunner(slots=2))
    ahead(bench, clip="clip-old")
    bench.now += 1
    ahead(bench, clip="clip-new")
    bench.open("session-0")
    bench.run()
    assert bench.answer("session-0") == truth()
    bench.engine.check_integrity()
    assert ask(bench, "session-1", clip="clip-new") == truth()  # the older one went
    (opened,) = bench.give(opening("session-2", clip="clip-old"), "session-2")
    assert isinstance(opened, Opened) and opened.video_needed


def test_clips_that_nobody_asks_about_expire(bench: Bench) -> None:
    ahead(bench)
    bench.engine.expire(bench.now + 59)
    assert bench.engine.sessions == 1
    bench.engine.expire(bench.now + 61)
    assert bench.engine.sessions == 0
    bench.engine.check_integrity()


def test_a_video_that_fails_takes_the_clip_with_it(bench: Bench) -> None:
    ahead(bench, frames=1)
    bench.give(opening("session-0", clip=CLIP), "session-0")
    outputs = bench.engine.handle(CLIP, VideoFailed("damaged"), bench.now)
    assert [(o.session_id, type(o.message)) for o in outputs] == [("session-0", Failure)]
    assert bench.engine.sessions == 0
    bench.engine.check_integrity()


def test_not_even_poison_is_passed_on(bench: Bench) -> None:
    ahead(bench)
    bench.runner.fail_slots.add(0)
    bench.give(opening("session-0", clip=CLIP), "session-0")
    bench.run()
    assert bench.failure().code is FailureCode.ENGINE
    bench.runner.fail_slots.clear()
    (opened,) = bench.give(opening("session-1", clip=CLIP), "session-1")
    assert isinstance(opened, Opened) and opened.video_needed
    bench.engine.check_integrity()


def test_a_question_that_is_refused_leaves_the_clip_alone(bench: Bench) -> None:
    ahead(bench)
    (refused,) = bench.give(opening("session-0", " ", clip=CLIP), "session-0")
    assert isinstance(refused, Failure)
    assert ask(bench, "session-1") == truth()
    (refused,) = bench.give(opening(CLIP, clip=CLIP), CLIP)
    assert isinstance(refused, Failure) and refused.code is FailureCode.CAPACITY


def test_frames_for_nobody_are_dropped(bench: Bench) -> None:
    bench.give(Frames(np.zeros((1, *FakeRunner.pixels_shape), np.float32)), "clip-unknown")
    assert bench.engine.next_due() is None
