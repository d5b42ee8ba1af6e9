"""A replayed engine: the same choices, at the profile's pace, and it says so."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import Frames, Output
from cloud.replayed import ReplayBook, ReplayedRunner
from cloud.runner import Work
from common.padding import Padding
from common.prefix_hash import prefix_hash
from common.replay import load_profile
from common.types import Commit, Draft, DrafterInfo, Finished, FinishReason, Open, Opened, Progress, SamplingParams
from tests.common.test_padding import Clock
from tests.fakes import VIDEO_FRAMES, FakeRunner, reference_answer
from tests.local_engine import long_questions

TIMES = load_profile("7b-4bit-24gb")
(QUESTION,) = long_questions(1)


def replayed(work_s: float = 0.0) -> tuple[ReplayedRunner, Clock]:
    clock = Clock()
    inner = FakeRunner()
    forward = inner.forward

    def busy(works: list[Work]) -> object:
        clock.now += work_s
        return forward(works)

    inner.forward = busy  # type: ignore[method-assign, assignment]
    return ReplayedRunner(inner, TIMES, Padding(clock, clock.sleep)), clock


def work(slot: int, start: int, stop: int, answer: tuple[int, ...] = (), choices: int = 0) -> Work:
    return Work(slot, start, stop, answer, choices, 0, SamplingParams())


def test_a_prompt_costs_what_the_profiles_whole_prompt_does() -> None:
    runner, clock = replayed()
    shape = runner.open(0, QUESTION)
    took_us = runner.encode(0, np.zeros((VIDEO_FRAMES, 3, 2, 2), dtype=np.float32))
    assert took_us == pytest.approx(TIMES.video.vision.at(VIDEO_FRAMES) * 1e3, abs=2)
    before = clock.now
    result = runner.forward([work(0, 0, shape.length, (), 1)])
    assert result.forward_us == pytest.approx(TIMES.prefill_ms() * 1e3, abs=2)
    assert clock.now - before == pytest.approx(TIMES.prefill_ms() / 1e3)
    assert runner.padding.overruns == 0


def test_chunks_share_the_prompt_and_sessions_share_a_pass() -> None:
    runner, _ = replayed()
    shape = runner.open(0, QUESTION)
    runner.open(1, QUESTION)
    half, text = shape.video_start + shape.video_length // 2, shape.length - shape.video_length
    rows = 2056 / 2 + 20 * shape.video_start / text
    assert runner.forward_ms([work(0, 0, half)]) == pytest.approx(TIMES.step_ms(rows, 0, 1))
    question = runner.forward_ms([work(0, shape.video_start + shape.video_length, shape.length)])
    assert question == pytest.approx(TIMES.step_ms(20 * (text - shape.video_start) / text, 0, 1))
    drafts = work(1, shape.length, shape.length, (5, 6, 7), 4)
    assert runner.forward_ms([drafts]) == TIMES.step_ms(0, 3, 1)
    both = runner.forward_ms([work(0, 0, half), drafts])
    assert both == pytest.approx(TIMES.step_ms(rows, 3, 2))


def test_work_that_takes_longer_is_counted() -> None:
    runner, _ = replayed(work_s=1.0)
    shape = runner.open(0, QUESTION)
    runner.encode(0, np.zeros((VIDEO_FRAMES, 3, 2, 2), dtype=np.float32))
    assert runner.forward([work(0, 0, shape.length, (), 1)]).forward_us == 1_000_000
    assert runner.padding.overruns == 1


def test_an_engine_over_it_gives_the_same_answer_at_the_profiles_pace() -> None:
    runner, clock = replayed()
    engine = Engine(runner, EngineLimits(max_draft=8))
    truth = reference_answer(QUESTION, SamplingParams(), 30)
    drafter = DrafterInfo("drafter", "fake", 50, 4)
    opened_at = clock.now
    engine.handle("session-0", Open("session-0", QUESTION, max_tokens=30, drafter=drafter), clock.now)
    frames = np.zeros((VIDEO_FRAMES, *runner.pixels_shape), dtype=np.float32)
    engine.handle("session-0", Frames(frames), clock.now)
    engine.handle("session-0", Draft(1, 0, 0, prefix_hash([]), tuple(truth[:5])), clock.now)
    answer: list[int] = []
    commits: list[tuple[float, Commit]] = []
    spans: dict[str, Progress] = {}
    for _ in range(100):
        for output in engine.step(clock.now):
            if isinstance(output.message, Commit):
                answer += output.message.token_ids
                commits.append((clock.now, output.message))
            elif isinstance(output.message, Progress):
                spans[output.message.stage.value] = output.message
    assert answer == truth
    first_at, first = commits[0]
    vision_ms = TIMES.video.vision.at(VIDEO_FRAMES)
    assert (first_at - opened_at) * 1e3 == pytest.approx(vision_ms + TIMES.step_ms(2076, 5, 1))
    assert first.accepted == 5
    assert spans["prefill"].start_us == pytest.approx(vision_ms * 1e3, abs=2)
    alone = [(later - earlier) * 1e3 for (earlier, _), (later, _) in pairwise(commits)]
    assert alone == pytest.approx([TIMES.step_ms(0, 1, 1)] * len(alone))


def test_the_book_names_the_profile_and_counts_what_went_wrong_meanwhile() -> None:
    padding = Padding()
    book = ReplayBook("mine", padding)
    padding.overruns = 3
    opened = book.stamp(Output("session-0", Opened("session-0", 10, 4)))
    assert opened.message == Opened("session-0", 10, 4, replay="mine")
    padding.overruns = 5
    book.take_in("session-0", Frames(np.zeros((1, 3, 2, 2)), overruns=4))
    book.take_in("session-1", Frames(np.zeros((1, 3, 2, 2)), overruns=9))
    commit = Output("session-0", Commit(0, (1,)))
    assert book.stamp(commit) is commit
    finished = book.stamp(Output("session-0", Finished(FinishReason.STOP, 1)))
    assert finished.message == Finished(FinishReason.STOP, 1, replay_overruns=6)
    unknown = book.stamp(Output("session-1", Finished(FinishReason.STOP, 1)))
    assert unknown.message == Finished(FinishReason.STOP, 1)
