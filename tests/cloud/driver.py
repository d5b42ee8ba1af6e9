"""Drives a real engine in this process: opens sessions, feeds video and drafts, steps until all have finished."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import Frames
from cloud.target import VideoLlavaTarget
from cloud.target_runner import TargetRunner
from common.prefix_hash import prefix_hash
from common.types import (
    Close,
    Commit,
    Draft,
    DrafterInfo,
    Failure,
    Finished,
    Open,
    Pace,
    SamplingParams,
)

# (truth, position, rng) -> a draft token; truth is the target's own answer
Guess = Callable[[list[int], int, random.Random], int]


def right(truth: list[int], position: int, rng: random.Random) -> int:
    """Always right."""
    return truth[position] if position < len(truth) else 5


def wrong(truth: list[int], position: int, rng: random.Random) -> int:
    """Always wrong."""
    return 6 if right(truth, position, rng) == 5 else 5


def noisy(truth: list[int], position: int, rng: random.Random) -> int:
    """Right three times in four."""
    return right(truth, position, rng) if rng.random() < 0.75 else rng.randrange(3, 200)


DRAFTERS: dict[str, Guess | None] = {"none": None, "right": right, "wrong": wrong, "noisy": noisy}


@dataclass
class Case:
    """A question about frames (uint8 RGB), and what the target alone answers (if the drafter needs to know)."""

    question: str
    frames: Sequence[NDArray[np.uint8]]
    max_tokens: int = 32
    sampling: SamplingParams = field(default_factory=SamplingParams)
    truth: list[int] = field(default_factory=list)


@dataclass
class Answered:
    """What the engine said about one case."""

    tokens: list[int] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    finished: Finished | None = None
    failure: Failure | None = None


def make_engine(
    target: VideoLlavaTarget,
    *,
    slots: int = 8,
    capacity: int = 400,
    frames: int = 8,
    limits: EngineLimits | None = None,
) -> Engine:
    """An engine of its own for a target."""
    return Engine(TargetRunner(target, slots=slots, capacity=capacity, frames=frames), limits)


def answer_all(
    engine: Engine,
    target: VideoLlavaTarget,
    cases: Sequence[Case],
    guess: Guess | None = None,
    *,
    length: int = 4,
    pace: Pace = Pace.EAGER,
    seed: int = 0,
    prefix: str = "case-session",
) -> list[Answered]:
    """All cases at once, as one session each. Drafts come one step late, as over a link."""
    assert target.tokenizer is not None
    rng = random.Random(seed)
    info = DrafterInfo("test", target.tokenizer.hash, target.vocab_size, 8) if guess else DrafterInfo()
    answers = {f"{prefix}-{i}": Answered() for i in range(len(cases))}
    by_id = dict(zip(answers, cases, strict=True))
    ids = itertools.count(1)
    clock = itertools.count()

    def take(outputs: Sequence[object]) -> None:
        for output in outputs:
            answer, message = answers[output.session_id], output.message  # type: ignore[attr-defined]
            if isinstance(message, Commit):
                assert message.start_position == len(answer.tokens), "commits must continue each other"
                answer.tokens += message.token_ids
                answer.commits.append(message)
            elif isinstance(message, Finished):
                answer.finished = message
            elif isinstance(message, Failure):
                answer.failure = message

    for session_id, case in by_id.items():
        opening = Open(session_id, case.question, case.sampling, case.max_tokens, pace, patience_ms=3_000, drafter=info)
        take(engine.handle(session_id, opening, next(clock)))
        pixels = target.preprocess(case.frames).numpy()
        take(engine.handle(session_id, Frames(pixels), next(clock)))
    while any(a.finished is None and a.failure is None for a in answers.values()):
        for session_id, answer in answers.items():
            if guess is not None and answer.finished is None:
                truth, base = by_id[session_id].truth, len(answer.tokens)
                drafted = tuple(guess(truth, base + i, rng) for i in range(length))
                draft = Draft(next(ids), 0, base, prefix_hash(answer.tokens), drafted)
                take(engine.handle(session_id, draft, next(clock)))
        take(engine.step(next(clock)))
    for session_id in answers:
        engine.handle(session_id, Close(), next(clock))
    engine.check_integrity()
    assert engine.sessions == 0
    return list(answers.values())


@torch.inference_mode()
def generate(target: VideoLlavaTarget, case: Case) -> list[int]:
    """Hugging Face's own greedy `generate` of the same target, ids beyond the vocabulary suppressed."""
    model: Any = target.reference_model
    ids = torch.tensor([target.prompt_ids(case.question, frames=len(case.frames))])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values_videos=target.preprocess(case.frames).unsqueeze(0),
        max_new_tokens=case.max_tokens,
        do_sample=False,
        suppress_tokens=list(range(target.vocab_size, target.table_size)),
        eos_token_id=sorted(target.eos_token_ids),
        pad_token_id=0,
    )
    answer: list[int] = output[0, ids.shape[1] :].tolist()
    return answer
