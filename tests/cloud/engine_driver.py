"""Drives the pure engine over the fake target by hand, one message and one step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import EngineMessage, Frames, Output
from common.prefix_hash import prefix_hash
from common.types import CloudMessage, Commit, Draft, DrafterInfo, Failure, Finished, Open, SamplingParams
from tests.fakes import VIDEO_FRAMES, VOCAB, FakeRunner, reference_answer

M = TypeVar("M", bound=CloudMessage)
INFO = DrafterInfo("drafter", FakeRunner.tokenizer_hash, VOCAB, 8)
QUESTION = "a question with a long answer"


def opening(session_id: str = "session-0", question: str = QUESTION, **changes: object) -> Open:
    """An `Open` that the fake target takes."""
    return Open(**{"session_id": session_id, "question": question, "max_tokens": 40, "drafter": INFO, **changes})  # type: ignore[arg-type]


def truth(question: str = QUESTION, max_tokens: int = 40, sampling: SamplingParams | None = None) -> list[int]:
    """What the target alone answers."""
    return reference_answer(question, sampling or SamplingParams(), max_tokens)


def pixels(count: int = VIDEO_FRAMES) -> Frames:
    """Frames of the fake target's size."""
    return Frames(np.zeros((count, *FakeRunner.pixels_shape), dtype=np.float32))


@dataclass
class Bench:
    """An engine, a clock, and everything that the engine has said."""

    runner: FakeRunner = field(default_factory=FakeRunner)
    limits: EngineLimits = field(default_factory=lambda: EngineLimits(max_draft=4, resume_ttl_s=10.0))
    now: float = 0.0
    said: list[Output] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.runner, self.limits)
        self._draft_ids = 0

    def give(self, message: EngineMessage, session_id: str = "session-0") -> list[CloudMessage]:
        """Hand a message in; returns what its edge hears at once."""
        outputs = self.engine.handle(session_id, message, self.now)
        self.said += outputs
        assert all(o.session_id == session_id for o in outputs)
        return [o.message for o in outputs]

    def open(self, session_id: str = "session-0", question: str = QUESTION, **changes: object) -> list[CloudMessage]:
        """Open a session and send its whole video."""
        heard = self.give(opening(session_id, question, **changes), session_id)
        self.give(pixels(), session_id)
        return heard

    def draft(self, ids: Sequence[int], session_id: str = "session-0", prefix: Sequence[int] | None = None) -> None:
        """A draft that continues the session's answer."""
        self._draft_ids += 1
        prefix = self.answer(session_id) if prefix is None else prefix
        epoch = self.engine._sessions[session_id].epoch
        self.give(Draft(self._draft_ids, epoch, len(prefix), prefix_hash(list(prefix)), tuple(ids)), session_id)

    def step(self, seconds: float = 0.01) -> list[Output]:
        """One step, a moment later."""
        self.now += seconds
        outputs = self.engine.step(self.now)
        self.said += outputs
        return outputs

    def prefill(self) -> None:
        """Step until no session's prompt is left."""
        while any(not s.prefilled for s in self.engine._sessions.values()):
            self.step()

    def prefill_of(self, session_id: str) -> None:
        """Step until this session's prompt isn't what is left."""
        while not self.engine._sessions[session_id].prefilled:
            self.step()

    def run(self) -> None:
        """Step until everything waits for its peers."""
        for _ in range(1_000):
            due = self.engine.next_due()
            if due is None:
                return
            self.now = max(self.now, due)
            self.step()
        raise AssertionError("the engine never comes to rest")

    def heard(self, kind: type[M], session_id: str = "session-0") -> list[M]:
        """All messages of one kind that a session's edge heard."""
        return [o.message for o in self.said if o.session_id == session_id and isinstance(o.message, kind)]

    def answer(self, session_id: str = "session-0") -> list[int]:
        """The answer, put together from its commits as an edge does."""
        tokens: list[int] = []
        for commit in self.heard(Commit, session_id):
            assert commit.start_position <= len(tokens), "a hole in the commits"
            tokens[commit.start_position :] = commit.token_ids
        return tokens

    def failure(self, session_id: str = "session-0") -> Failure:
        """The one failure that a session's edge heard."""
        (failure,) = self.heard(Failure, session_id)
        return failure

    def finished(self, session_id: str = "session-0") -> Finished:
        """The one end that a session's edge heard."""
        (finished,) = self.heard(Finished, session_id)
        return finished
