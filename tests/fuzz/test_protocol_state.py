"""The protocol as a state machine: whatever edges send, in whatever order, the engine's books and answers hold.

Four clients' ids, sessions and clips, drafts right and wrong, videos in pieces, twice and of nonsense, losses, resumes
with what they hold and with lies, time that passes. The fake target asserts that it is fed only what a KV cache would
need; a failure of it would be told as `ENGINE`, which must never happen.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import EngineMessage, Frames, OpenClip, Output, Park, VideoFailed
from cloud.scheduler import Budget
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
    Open,
    Opened,
    Pace,
    SamplingParams,
)
from tests.fakes import VIDEO_FRAMES, VOCAB, FakeRunner, reference_answer

IDS = st.sampled_from([f"session-{number}" for number in range(4)])
CLIPS = st.sampled_from(["clip-0000", "clip-0001"])
CLIENTS = st.sampled_from(["=a", "=b", "@h"])
MAX_TOKENS = 14
INFO = DrafterInfo("drafter", FakeRunner.tokenizer_hash, VOCAB, 4)
QUESTIONS = ("what moves?", "how many are there, and where?")
TRUTH = {question: reference_answer(question, SamplingParams(), MAX_TOKENS) for question in QUESTIONS}


class Conversations(RuleBasedStateMachine):
    """Edges that do as they please."""

    @initialize(slots=st.integers(1, 5), chunk=st.integers(16, 40), share=st.sampled_from([0, 0, 2]))
    def begin(self, slots: int, chunk: int, share: int) -> None:
        limits = EngineLimits(
            max_draft=4,
            max_answer_tokens=MAX_TOKENS,
            resume_ttl_s=5.0,
            clip_ttl_s=8.0,
            sessions_per_client=share,
            budget=Budget(prompt_chunk=chunk),
        )
        self.engine = Engine(FakeRunner(slots=slots), limits)
        self.now = 0.0
        self.heard: dict[str, list[int]] = {}
        self.honest: dict[str, str] = {}  # sessions of which the answer is known, and their question
        self.finished: set[str] = set()
        self.liars: set[str] = set()

    # ------------------------------------------------------------------------------------------------- what edges do

    @rule(
        name=IDS,
        question=st.sampled_from(QUESTIONS),
        client=CLIENTS,
        epoch=st.integers(0, 3),
        clip=st.none() | CLIPS,
        held=st.integers(0, MAX_TOKENS),
        lies=st.sampled_from([False] * 9 + [True]),
        pace=st.sampled_from(list(Pace)),
    )
    def open(
        self, name: str, question: str, client: str, epoch: int, clip: str | None, held: int, lies: bool, pace: Pace
    ) -> None:
        committed = tuple(5 for _ in range(held)) if lies else tuple(TRUTH[question][:held])
        opening = Open(
            name,
            question,
            max_tokens=MAX_TOKENS,
            pace=pace,
            drafter=INFO,
            epoch=epoch,
            committed=committed if epoch else (),
            clip=clip or "",
            client=client,
        )
        replies = self.give(name, opening)
        if any(isinstance(reply.message, Opened) for reply in replies):
            self.heard[name] = list(opening.committed)
            self.finished.discard(name)
            if lies and epoch and held:
                self.liars.add(name)  # its own answer goes on from the lie, until the session is closed
            self.honest[name] = question
            if name in self.liars:
                self.gone(name)
        self.take(replies)

    @rule(name=IDS, base=st.integers(0, MAX_TOKENS), count=st.integers(1, 20), right=st.booleans(), data=st.data())
    def draft(self, name: str, base: int, count: int, right: bool, data: st.DataObject) -> None:
        truth = TRUTH[self.honest.get(name, QUESTIONS[0])]
        ids = truth[base : base + count] if right else data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=count))
        hashed = prefix_hash(truth[:base]) if right else data.draw(st.integers(0, 2**32 - 1))
        number, epoch = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 3))
        if ids:
            self.send(name, Draft(number, epoch, base, hashed, tuple(ids), follows=data.draw(st.integers(0, 3))))

    @rule(name=IDS | CLIPS, first=st.integers(0, VIDEO_FRAMES), count=st.integers(1, VIDEO_FRAMES + 1))
    def frames(self, name: str, first: int, count: int) -> None:
        self.send(name, Frames(np.zeros((count, *FakeRunner.pixels_shape), np.float32), first))

    @rule(name=IDS | CLIPS)
    def whole_video(self, name: str) -> None:
        self.send(name, Frames(np.zeros((VIDEO_FRAMES, *FakeRunner.pixels_shape), np.float32)))

    @rule(
        name=IDS, question=st.sampled_from(QUESTIONS), client=CLIENTS, clip=st.none() | CLIPS, steps=st.integers(0, 6)
    )
    def converse(self, name: str, question: str, client: str, clip: str | None, steps: int) -> None:
        """As an edge should: open, or come back with what it holds; send the video; see how far it comes."""
        held = len(self.heard.get(name, [])) if self.honest.get(name) == question else 0
        session = self.engine._sessions.get(name)
        epoch = session.epoch + 1 if session is not None else 0
        self.open(name, question, client, epoch, clip, held if epoch else 0, False, Pace.EAGER)
        self.whole_video(name)
        self.step(steps)

    @rule(name=IDS)
    def frames_of_another_size(self, name: str) -> None:
        self.send(name, Frames(np.zeros((1, 3, 7, 7), np.float32)))
        self.gone(name)

    @rule(name=IDS | CLIPS, client=CLIENTS)
    def open_clip(self, name: str, client: str) -> None:
        self.send(name, OpenClip(client=client))

    @rule(name=IDS | CLIPS)
    def bad_video(self, name: str) -> None:
        self.send(name, VideoFailed("nonsense"))

    @rule(name=IDS, what=st.sampled_from([Cancel(), Close(), Park()]))
    def leave(self, name: str, what: Cancel | Close | Park) -> None:
        self.send(name, what)
        if isinstance(what, Close):
            self.liars.discard(name)

    # ------------------------------------------------------------------------------------------------- what happens

    @rule(steps=st.integers(1, 4))
    def step(self, steps: int) -> None:
        for _ in range(steps):
            self.now += 0.01
            self.take(self.engine.step(self.now))

    @rule(seconds=st.floats(0.0, 12.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.engine.expire(self.now))

    def give(self, name: str, message: EngineMessage) -> list[Output]:
        return self.engine.handle(name, message, self.now)

    def send(self, name: str, message: EngineMessage) -> None:
        self.take(self.give(name, message))

    def gone(self, name: str) -> None:
        self.honest.pop(name, None)

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            name, message = output.session_id, output.message
            match message:
                case Failure(code):
                    assert code is not FailureCode.ENGINE, message
                case Commit() if name in self.heard:
                    assert message.start_position <= len(self.heard[name]), "a hole in the answer"
                    self.heard[name][message.start_position :] = message.token_ids
                    if name in self.honest:
                        truth = TRUTH[self.honest[name]]
                        assert self.heard[name] == truth[: len(self.heard[name])]
                    assert message.accepted <= message.drafted
                case Finished(reason, length) if name in self.honest:
                    self.finished.add(name)
                    if reason is not FinishReason.CANCELLED:
                        assert length == len(TRUTH[self.honest[name]])

    @invariant()
    def books(self) -> None:
        if hasattr(self, "engine"):
            self.engine.check_integrity()

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        for name in list(self.engine._sessions):
            self.engine.handle(name, Close(), self.now)
        self.now += 100.0
        self.engine.expire(self.now)
        self.engine.check_integrity()
        assert self.engine.sessions == 0


def test_a_draft_of_a_stream_that_is_lost_already() -> None:
    """Found by the machine: it became pending in a parked session, and the books didn't add up."""
    engine = Engine(FakeRunner(slots=1), EngineLimits())
    engine.handle("session-0", Open("session-0", QUESTIONS[0], drafter=INFO), 0.0)
    engine.handle("session-0", Park(), 0.1)
    engine.handle("session-0", Draft(1, 0, 0, prefix_hash([]), (5,)), 0.2)
    engine.check_integrity()


TestConversations = Conversations.TestCase
TestConversations.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
