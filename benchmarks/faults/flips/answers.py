"""Answers over real edge links: what is asked, and how each ended, held against the undisturbed one."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

from benchmarks.faults.flips.light_cloud import EOS, FEATURES, FRAMES, HIDDEN, VISION, VOCABULARY, LightTarget, word
from common.errors import EventSpecError
from common.types import DrafterInfo, Open, Tensor
from common.video import FeaturesHeader, FrameFeatures
from edge.controller import DraftLength
from edge.link import Link
from edge.runner import AnswerRunner, Features
from edge.session import EdgeSession, SessionSettings
from edge.worker import DraftingThread

_RIGHT = 0.7  # of the drafter's tokens


class Ended(StrEnum):
    """How an answer ended. The last three must never happen."""

    IDENTICAL = "identical"
    ALONE = "alone"  # finished by the edge and marked so; what the cloud committed is right
    RETRYABLE = "retryable"  # one clear failure that says: try again
    FINAL = "final"  # a failure that says there is no use in trying again, though nothing was wrong but the line
    HUNG = "hung"
    WRONG = "wrong"


BAD = (Ended.FINAL, Ended.HUNG, Ended.WRONG)


@dataclass(frozen=True, slots=True)
class Question:
    """A question of its own about features of its own, so that another's answer is a wrong one."""

    text: str
    features: tuple[bytes, ...]
    truth: tuple[int, ...]
    drafts: bool
    guesses: tuple[int, ...]

    @classmethod
    def drawn(cls, draw: random.Random) -> Question:
        """The next one."""
        text = f"question {draw.randrange(10**9)}"
        features = tuple(draw.randbytes(2 * FEATURES * HIDDEN) for _ in range(FRAMES))
        seen = 0
        for one in features:
            seen = crc32(one, seen)
        truth = tuple(word(text, seen, position) for position in range(draw.randint(4, 24)))
        guesses = tuple(token if draw.random() < _RIGHT else 3 for token in truth)
        return cls(text, features, truth, draw.random() < 0.5, guesses)


class Guessing:
    """Implements `edge.worker.Drafting`: right more often than not."""

    def __init__(self, guesses: Sequence[int]) -> None:
        self._guesses = guesses
        self._at = 0

    def prefill(self, prompt_ids: object, frames: object) -> None:
        """It knows its prompt."""

    def draft(self, count: int) -> list[int]:
        """The next guesses."""
        made = list(self._guesses[self._at : self._at + count])
        self._at += len(made)
        return made

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """Go on behind these."""
        self._at = position + len(ids)


def _runner(
    question: Question, link: Link, thread: DraftingThread, give_up_s: float
) -> tuple[EdgeSession, AnswerRunner]:
    info = DrafterInfo("light", LightTarget.tokenizer_hash, VOCABULARY, 1) if question.drafts else DrafterInfo()
    session = EdgeSession(
        Open(uuid.uuid4().hex, question.text, max_tokens=len(question.truth), patience_ms=50, drafter=info),
        SessionSettings(backoff_first=0.01, backoff_longest=0.1, give_up_after=give_up_s, drafts=question.drafts),
        frozenset({EOS}),
        DraftLength(4),
        started_at=time.monotonic(),
    )

    async def features() -> AsyncIterator[FrameFeatures]:
        for index, data in enumerate(question.features):
            yield FrameFeatures(index, Tensor("float16", (FEATURES, HIDDEN), data))

    runner = AnswerRunner(
        session,
        link=link,
        thread=thread,
        prepare=(lambda: Guessing(question.guesses)) if question.drafts else None,
        video=Features(FeaturesHeader(VISION, FRAMES), features),
        decode=lambda ids: " ".join(map(str, ids)),
    )
    return session, runner


async def ask(
    question: Question, link: Link, thread: DraftingThread, limit_s: float, give_up_s: float = 2.0
) -> tuple[Ended, str]:
    """Ask, and judge; the text says what was wrong or why it failed.

    Args:
        question: what is asked.
        link: the edge's way to the cloud.
        thread: where drafters work.
        limit_s: seconds after which the answer hangs.
        give_up_s: seconds without a link after which the edge finishes alone, or fails.
    """
    session, runner = _runner(question, link, thread, give_up_s)
    ended, why = Ended.IDENTICAL, ""
    try:
        async with asyncio.timeout(limit_s) as limit:
            async for _ in runner.run():
                pass
    except TimeoutError:
        ended, why = (Ended.HUNG, f"no end within {limit_s:.0f} s") if limit.expired() else (Ended.FINAL, "timeout")
    except EventSpecError as error:
        ended, why = (Ended.RETRYABLE if error.retryable else Ended.FINAL), f"{type(error).__name__}: {error}"
    committed = tuple(session.committed)
    if committed != question.truth[: len(committed)]:
        return Ended.WRONG, f"committed {committed} of {question.truth}"
    if ended is Ended.IDENTICAL and session.figures.alone:
        return Ended.ALONE, ""
    if ended is Ended.IDENTICAL and committed != question.truth:
        return Ended.WRONG, f"ended with {committed} of {question.truth}"
    return ended, why
