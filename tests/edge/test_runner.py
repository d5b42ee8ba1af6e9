"""The shell around a session, over a loopback link: the answer is the target's, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from common.ask import Answer, AskEvent, Notice
from common.errors import (
    EngineDeadError,
    EngineError,
    EventSpecError,
    LinkError,
    MessageError,
    ModelError,
    PromptError,
    SessionError,
    VideoFormatError,
)
from common.types import DrafterInfo, FinishReason, Open, Pace, SamplingParams, Tensor
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.controller import DraftLength
from edge.link import Link
from edge.runner import AnswerRunner, Features, Video
from edge.session import EdgeSession, SessionSettings
from edge.worker import DraftingThread
from tests.edge.loopback import FakeDrafter, Guess, LoopLink, mixed, right, wrong
from tests.fakes import EOS, VIDEO_FRAMES, reference_answer
from tests.local_engine import MAX_TOKENS, long_questions

QUESTIONS = long_questions(4)
HEADER = VideoHeader("h264", b"", 8, 8, 1, 1, 10)
FAST = {"backoff_first": 0.001, "backoff_longest": 0.01, "give_up_after": 20.0}


def truth(question: str = QUESTIONS[0]) -> list[int]:
    return reference_answer(question, SamplingParams(), MAX_TOKENS)


def packets() -> Iterator[VideoPacket]:
    yield VideoPacket(0, 0, 0, True, b"x" * 100)


def text_of(ids: list[int]) -> str:
    return "".join(f"{token} " for token in ids)


class Asker:
    """One answer over a link, and everything that it showed."""

    def __init__(
        self,
        link: Link | None,
        thread: DraftingThread,
        *,
        question: str = QUESTIONS[0],
        guess: Guess | None = mixed,
        prepare: Callable[[], FakeDrafter] | None = None,
        video: Callable[[], Iterator[VideoPacket]] = packets,
        pace: Pace = Pace.EAGER,
        **settings: Any,
    ) -> None:
        self.drafter = FakeDrafter(question, guess or right)
        info = DrafterInfo("fake", "fake", 50, 4) if guess is not None else DrafterInfo()
        self.session = EdgeSession(
            Open(f"session-{question}", question, max_tokens=MAX_TOKENS, pace=pace, patience_ms=50, drafter=info),
            SessionSettings(**{**FAST, "drafts": guess is not None, "cloud": link is not None, **settings}),
            frozenset({EOS}),
            DraftLength(4),
            started_at=time.monotonic(),
        )
        self.runner = AnswerRunner(
            self.session,
            link=link,
            thread=thread,
            prepare=(prepare or (lambda: self.drafter)) if guess is not None else None,
            video=Video(HEADER, video),
            decode=text_of,
        )
        self.events: list[AskEvent] = []

    async def run(self, react: Callable[[], Any] | None = None, *, at: int = 1, notices: int = 0) -> list[int]:
        """Run to the end; `react` is called once, as soon as there are `at` committed tokens and `notices` notices."""
        async with asyncio.timeout(30):
            async for event in self.runner.run():
                self.events.append(event)
                enough = len(self.session.committed) >= at and len(self.notices) >= notices
                if react is not None and enough:
                    happens, react = react(), None
                    if asyncio.iscoroutine(happens):
                        await happens
        return self.session.answer

    @property
    def notices(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Notice)]


@pytest.fixture
async def thread() -> AsyncIterator[DraftingThread]:
    """The drafter's thread; when the test is over, no task but the test's own may be left."""
    made = DraftingThread()
    yield made
    made.close()
    left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
    assert left == []


@pytest.fixture
def link() -> LoopLink:
    return LoopLink()


@pytest.mark.parametrize("guess", [right, wrong, mixed])
@pytest.mark.parametrize("pace", list(Pace))
async def test_the_answer_is_the_targets(link: LoopLink, thread: DraftingThread, guess: Guess, pace: Pace) -> None:
    link.engine.waits_for_draft = True
    asker = Asker(link, thread, guess=guess, pace=pace)
    assert await asker.run() == truth()
    assert asker.session.reason is FinishReason.LENGTH
    assert link.engine.engine.sessions == 0
    assert asker.drafter.closed
    assert len(asker.drafter.threads) == 1
    figures = asker.session.figures
    assert figures.uplink_bytes["video"] == 100
    assert figures.uplink_bytes["drafts"] > 0
    assert figures.uplink_bytes["control"] > 0
    assert figures.downlink_bytes > 0


@pytest.mark.parametrize("busy", [False, True])
async def test_branches_are_drafted_while_the_thread_has_nothing_else_to_do(
    link: LoopLink, thread: DraftingThread, busy: bool
) -> None:
    link.engine.waits_for_draft = True
    asker = Asker(link, thread, pace=Pace.PATIENT, branches=2, max_ahead=4)
    others: asyncio.Task[None] | None = None
    if busy:  # somebody else's work waits all the time

        async def more() -> None:
            while True:
                await thread.run(time.sleep, 0.0005)

        others = asyncio.create_task(more())
        await asyncio.sleep(0)
    assert await asker.run() == truth()
    if others is not None:
        others.cancel()
    assert (asker.drafter.branch_jobs > 0) is not busy
    assert asker.session.figures.branch_misses + asker.session.figures.branch_hits > 0


async def test_committed_text_only_grows_and_provisional_text_comes_first(
    link: LoopLink, thread: DraftingThread
) -> None:
    link.engine.waits_for_draft = True
    asker = Asker(link, thread)
    await asker.run()
    answers = [e for e in asker.events if isinstance(e, Answer)]
    for one, then in itertools.pairwise(answers):
        assert then.committed_text.startswith(one.committed_text)
        assert then.at_ms >= one.at_ms
    assert answers[-1] == Answer(text_of(truth()), "", answers[-1].at_ms)
    assert any(a.provisional_text for a in answers)


async def test_cloud_only(link: LoopLink, thread: DraftingThread) -> None:
    asker = Asker(link, thread, guess=None)
    assert await asker.run() == truth()
    assert asker.session.figures.uplink_bytes["drafts"] == 0


async def test_edge_only(thread: DraftingThread) -> None:
    asker = Asker(None, thread, guess=right)
    assert await asker.run() == truth()
    assert asker.session.figures.alone


async def test_answers_at_once_share_the_drafters_thread(link: LoopLink, thread: DraftingThread) -> None:
    askers = [Asker(link, thread, question=q, guess=[right, wrong, mixed, None][i]) for i, q in enumerate(QUESTIONS)]
    answers = await asyncio.gather(*(a.run() for a in askers))
    assert answers == [truth(q) for q in QUESTIONS]
    assert link.engine.engine.sessions == 0


# --------------------------------------------------------------------------------------------------------- losses


async def test_a_cut_stream_is_resumed(link: LoopLink, thread: DraftingThread) -> None:
    asker = Asker(link, thread)
    link.engine.hold_at = 9

    async def cut() -> None:
        await link.cut()
        link.engine.release()

    assert await asker.run(cut, at=5) == truth()
    assert asker.session.figures.resumes == 1
    assert asker.notices == ["link lost (cut); reconnecting", "connected again; going on where the answer was"]
    assert link.videos == 1
    assert not asker.session.figures.alone


async def test_features_are_sent_again_to_an_engine_that_forgot_them(link: LoopLink, thread: DraftingThread) -> None:
    async def frames() -> AsyncIterator[FrameFeatures]:
        for index in range(VIDEO_FRAMES):
            yield FrameFeatures(index, Tensor("uint8", (3, 4), bytes(12)))

    asker = Asker(link, thread, guess=None)
    asker.runner._video = Features(FeaturesHeader("fake-vision", VIDEO_FRAMES), frames)
    link.engine.hold_at = 9

    async def die() -> None:
        link.engine.die()
        await link.cut(EngineDeadError("the engine died"))
        link.engine.revive()
        link.engine.release()

    assert await asker.run(die, at=5) == truth()
    assert link.videos == 2
    assert asker.session.figures.uplink_bytes["video"] == 2 * 12 * VIDEO_FRAMES


async def test_an_engine_that_forgot_everything_is_told_again(link: LoopLink, thread: DraftingThread) -> None:
    asker = Asker(link, thread)
    link.engine.hold_at = 9

    async def die() -> None:
        link.engine.die()
        await link.cut(EngineDeadError("the engine died"))
        asyncio.get_running_loop().call_later(0.03, revive)

    def revive() -> None:
        link.engine.revive()
        link.engine.release()

    assert await asker.run(die, at=5) == truth()
    assert link.videos == 2
    assert link.engine.engine.sessions == 0


@pytest.mark.parametrize("error", [LinkError("refused"), LinkError("no route")])
async def test_refused_connections_are_tried_again(link: LoopLink, thread: DraftingThread, error: LinkError) -> None:
    link.opens = [error] * 5
    asker = Asker(link, thread)
    assert await asker.run() == truth()
    assert link.attempts == 6


async def test_a_cloud_that_never_comes_leaves_the_edge_alone(link: LoopLink, thread: DraftingThread) -> None:
    link.opens, link.for_ever = [LinkError("refused")], True
    asker = Asker(link, thread, guess=right, give_up_after=0.05)
    assert await asker.run() == truth()
    assert asker.session.figures.alone
    assert "not verified" in asker.notices[-1]


async def test_a_cloud_that_never_comes_back_leaves_the_rest_to_the_edge(
    link: LoopLink, thread: DraftingThread
) -> None:
    asker = Asker(link, thread, guess=mixed, give_up_after=0.05)
    link.engine.hold_at = 9

    async def lose() -> None:
        link.opens, link.for_ever = [LinkError("refused")], True
        await link.cut()

    answer = await asker.run(lose, at=5)
    committed = asker.session.committed
    assert 5 <= len(committed) < len(answer)
    assert answer[: len(committed)] == truth()[: len(committed)]
    assert asker.session.figures.alone


async def test_cloud_only_without_a_cloud_raises(link: LoopLink, thread: DraftingThread) -> None:
    link.opens, link.for_ever = [LinkError("refused")], True
    with pytest.raises(LinkError, match="refused"):
        await Asker(link, thread, guess=None, give_up_after=0.05).run()


async def test_a_cloud_that_talks_nonsense_is_left_and_asked_again(link: LoopLink, thread: DraftingThread) -> None:
    asker = Asker(link, thread)
    link.engine.hold_at = 9

    async def garble() -> None:
        for stream in link.streams.values():
            stream.put(b"\xff\xff")
        link.engine.release()

    assert await asker.run(garble, at=5) == truth()


@pytest.mark.parametrize("error", [PromptError("too long"), SessionError("gone"), ModelError("another wire version")])
async def test_a_refusal_is_the_askers_to_see(link: LoopLink, thread: DraftingThread, error: EventSpecError) -> None:
    asker = Asker(link, thread)
    link.engine.hold_at = 3
    with pytest.raises(type(error), match=str(error)):
        await asker.run(lambda: link.cut(error), at=1)


async def test_a_video_that_breaks_off_is_sent_again(link: LoopLink, thread: DraftingThread) -> None:
    link.video_errors = [LinkError("cut"), LinkError("cut")]
    asker = Asker(link, thread)
    assert await asker.run() == truth()
    assert link.videos == 3


async def test_a_video_that_overtakes_its_session_is_sent_again(link: LoopLink, thread: DraftingThread) -> None:
    link.video_errors = [SessionError("there is no such session")]
    asker = Asker(link, thread)
    assert await asker.run() == truth()
    assert link.videos == 2


async def test_what_becomes_of_a_lost_streams_video_is_nobodys_business(link: LoopLink, thread: DraftingThread) -> None:
    asker, real, said = Asker(link, thread), link.send_video, asyncio.Event()
    calls = itertools.count()

    async def late(*sent: Any) -> int:
        if next(calls) > 0:
            asyncio.get_running_loop().call_later(0.05, said.set)
            await said.wait()
            return await real(*sent)
        await link.cut()
        with contextlib.suppress(asyncio.CancelledError):  # the next one takes its place
            while not said.is_set():
                await asyncio.sleep(0.001)
        raise VideoFormatError("the video breaks off")

    link.send_video = late  # type: ignore[method-assign, assignment]
    assert await asker.run() == truth()
    assert said.is_set()


@pytest.mark.parametrize("error", [VideoFormatError("no decoder"), MessageError("over the limit")])
async def test_a_refused_video_is_the_askers_to_see(
    link: LoopLink, thread: DraftingThread, error: EventSpecError
) -> None:
    link.video_errors = [error]
    with pytest.raises(type(error), match=str(error)):
        await Asker(link, thread).run()
    assert link.engine.engine.sessions == 0


async def test_a_video_file_that_changed_is_the_askers_to_see(link: LoopLink, thread: DraftingThread) -> None:
    def broken() -> Iterator[VideoPacket]:
        yield from packets()
        raise VideoFormatError("the file is cut short")

    with pytest.raises(VideoFormatError, match="cut short"):
        await Asker(link, thread, video=broken).run()
    assert link.engine.engine.sessions == 0


# --------------------------------------------------------------------------------------------------- the drafter


@pytest.mark.parametrize("error", [ModelError("no such model"), RuntimeError("CUDA out of memory")])
async def test_a_drafter_that_cant_begin_leaves_it_to_the_cloud(
    link: LoopLink, thread: DraftingThread, error: Exception
) -> None:
    def prepare() -> FakeDrafter:
        raise error

    link.engine.hold_at = 0
    asker = Asker(link, thread, prepare=prepare)
    assert await asker.run(link.engine.release, at=0, notices=1) == truth()
    assert str(error) in asker.notices[0]


@pytest.mark.parametrize("error", [ModelError("broken"), RuntimeError("CUDA out of memory")])
async def test_a_drafter_that_fails_midway_leaves_the_rest_to_the_cloud(
    link: LoopLink, thread: DraftingThread, error: Exception
) -> None:
    drafter = FakeDrafter(QUESTIONS[0], right, fail_at=12, error=error)
    link.engine.hold_at = 1
    asker = Asker(link, thread, prepare=lambda: drafter)
    assert await asker.run(link.engine.release, notices=1) == truth()
    assert str(error) in asker.notices[0]
    assert drafter.closed


async def test_edge_only_with_a_failing_drafter_raises(thread: DraftingThread) -> None:
    drafter = FakeDrafter(QUESTIONS[0], right, fail_at=12)
    with pytest.raises(EngineError, match="CUDA out of memory"):
        await Asker(None, thread, prepare=lambda: drafter).run()


async def test_no_drafter_and_no_cloud_raises(link: LoopLink, thread: DraftingThread) -> None:
    link.opens, link.for_ever = [LinkError("refused")], True
    drafter = FakeDrafter(QUESTIONS[0], right, fail_at=0)
    with pytest.raises(EngineError, match="the drafter failed"):
        await Asker(link, thread, prepare=lambda: drafter, give_up_after=0.05).run()


# ------------------------------------------------------------------------------------------------------ going away


@pytest.mark.parametrize("at", [0, 1, 8])
async def test_an_asker_that_leaves_frees_everything(link: LoopLink, thread: DraftingThread, at: int) -> None:
    link.engine.hold_at = at
    asker = Asker(link, thread)
    answers = asker.runner.run()
    async with asyncio.timeout(30):
        async for _ in answers:
            if len(asker.session.committed) >= at:
                break
    await answers.aclose()
    assert asker.session.reason is FinishReason.CANCELLED
    assert link.engine.engine.sessions == 0
    assert asker.drafter.closed or asker.runner._drafter is None
    link.engine.engine.check_integrity()


async def test_a_cancelled_task_frees_everything(link: LoopLink, thread: DraftingThread) -> None:
    link.engine.hold_at = 8
    asker = Asker(link, thread)
    held = asyncio.Event()
    task = asyncio.create_task(asker.run(held.set, at=8))
    async with asyncio.timeout(30):
        await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert link.engine.engine.sessions == 0
    assert asker.drafter.closed


async def test_leaving_while_the_link_is_down_frees_the_edge(link: LoopLink, thread: DraftingThread) -> None:
    link.opens, link.for_ever = [LinkError("refused")], True
    asker = Asker(link, thread, backoff_first=10.0)
    answers = asker.runner.run()
    async with asyncio.timeout(30):
        async for event in answers:
            if isinstance(event, Notice):
                break
    await answers.aclose()
    assert asker.session.reason is FinishReason.CANCELLED
