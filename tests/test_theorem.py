"""The theorem on the shipped pair: for 200 (clip, question) pairs the answer is the target's alone, drafted or not.

Held-out scenes of the synthetic world, rendered here; the real drafter on the real events, re-conditioned on what is
committed; the engine with eight sessions of different lengths at once; Hugging Face's own `generate` as the judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cloud.engine import Engine
from cloud.messages import Frames
from cloud.target import VideoLlavaTarget
from cloud.video import sampled_indices
from common.prefix_hash import prefix_hash
from common.shipped import shipped_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.types import Close, Commit, Draft, DrafterInfo, Finished, Open, SamplingParams
from edge.drafter import Drafter
from edge.eventgpt import EventGPT, prompt_ids
from edge.events import raster
from tests.cloud.driver import Case, generate, make_engine
from training.data.shards import HELD_OUT, scene_events
from training.world.questions import KINDS, ask
from training.world.render import frame_times, render_rgb
from training.world.scenes import sample_scene

PAIRS = 200
TOGETHER = 8


@dataclass
class Pair:
    """A question about a clip, as both sides see it."""

    case: Case
    event_frames: list[NDArray[np.uint8]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    return VideoLlavaTarget.from_pretrained(shipped_target())


@pytest.fixture(scope="module")
def drafter_model() -> EventGPT:
    return EventGPT.from_pretrained(shipped_drafter())


@pytest.fixture(scope="module")
def pairs(drafter_model: EventGPT) -> list[Pair]:
    """200 questions about 40 held-out clips, of every kind."""
    made: list[Pair] = []
    kinds = itertools.cycle(KINDS)
    for seed in itertools.count(HELD_OUT + 900_000):
        scene = sample_scene(seed)
        frames = render_rgb(scene, frame_times())
        seen = [frames[i] for i in sampled_indices(len(frames))]
        events = scene_events(scene)
        drawn = raster(events, frames=drafter_model.config.frames, canvas=(events.height, events.width))
        rng = np.random.default_rng(seed)
        for question in [q for q in (ask(scene, next(kinds), rng) for _ in range(6)) if q is not None][:5]:
            made.append(Pair(Case(question.text, seen, max_tokens=12 + 9 * (len(made) % 8)), drawn))
        if len(made) >= PAIRS:
            return made[:PAIRS]
    raise AssertionError


class DraftedSession:
    """One session of the engine with a drafter that follows what is committed."""

    def __init__(self, number: int, pair: Pair, model: EventGPT, tokenizer: Tokenizer) -> None:
        self.session_id = f"theorem-{number}"
        self.pair = pair
        self.tokens: list[int] = []
        self.finished: Finished | None = None
        self.drafted = self.accepted = 0
        self._drafter = Drafter(model, sampling=pair.case.sampling, vocab_size=tokenizer.vocab_size)
        prompt = prompt_ids(pair.case.question, tokenizer, model.config.prompt_template)
        self._drafter.prefill(prompt, pair.event_frames)
        self._ids = itertools.count(1)

    def draft(self, count: int) -> Draft | None:
        """The next draft from what is committed."""
        self._drafter.commit(0, self.tokens)  # drafted tokens that agree stay, and it goes on behind them
        base = self._drafter.position
        known = list(self._drafter.answer)
        ids = tuple(self._drafter.draft(count))
        return Draft(next(self._ids), 0, base, prefix_hash(known), ids) if ids else None

    def take(self, message: object) -> None:
        """A message of the engine's."""
        if isinstance(message, Commit):
            self.tokens += message.token_ids
            self.drafted += message.drafted
            self.accepted += message.accepted
        elif isinstance(message, Finished):
            self.finished = message


def run_together(
    engine: Engine, target: VideoLlavaTarget, sessions: Sequence[DraftedSession], draft_length: int
) -> None:
    """All sessions to their ends, drafts of `draft_length` tokens (0: none)."""
    assert target.tokenizer is not None
    by_id = {s.session_id: s for s in sessions}
    info = DrafterInfo("tiny", target.tokenizer.hash, target.vocab_size, 8) if draft_length else DrafterInfo()
    for s in sessions:
        case = s.pair.case
        opening = Open(s.session_id, case.question, case.sampling, case.max_tokens, drafter=info)
        engine.handle(s.session_id, opening, 0.0)
        engine.handle(s.session_id, Frames(target.preprocess(case.frames).numpy()), 0.0)
    while any(s.finished is None for s in sessions):
        for s in sessions:
            if draft_length and s.finished is None and (draft := s.draft(draft_length)) is not None:
                engine.handle(s.session_id, draft, 0.0)
        for output in engine.step(0.0):
            by_id[output.session_id].take(output.message)
    for s in sessions:
        engine.handle(s.session_id, Close(), 0.0)


def answers(
    target: VideoLlavaTarget, model: EventGPT, pairs: Sequence[Pair], draft_length: int
) -> list[DraftedSession]:
    """Every pair's session, eight at a time through one engine."""
    assert target.tokenizer is not None
    engine = make_engine(target, slots=TOGETHER, capacity=400)
    done: list[DraftedSession] = []
    for first in range(0, len(pairs), TOGETHER):
        batch = [
            DraftedSession(first + i, pair, model, target.tokenizer)
            for i, pair in enumerate(pairs[first : first + TOGETHER])
        ]
        run_together(engine, target, batch, draft_length)
        done += batch
    engine.check_integrity()
    return done


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_greedy_answers_equal_generate(target: VideoLlavaTarget, drafter_model: EventGPT, pairs: list[Pair]) -> None:
    drafted = answers(target, drafter_model, pairs, draft_length=5)
    for session in drafted:
        assert session.tokens == generate(target, session.pair.case), session.pair.case.question
    accepted, checked = sum(s.accepted for s in drafted), sum(s.drafted for s in drafted)
    assert len(drafted) == PAIRS
    assert 0.3 * checked < accepted < checked, "the drafter must be neither useless nor an oracle"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sampled_answers_do_not_depend_on_the_drafter(
    target: VideoLlavaTarget, drafter_model: EventGPT, pairs: list[Pair]
) -> None:
    sampled = [
        replace(pair, case=replace(pair.case, sampling=SamplingParams(1.2, top_p=0.95, seed=index)))
        for index, pair in enumerate(pairs)
    ]
    drafted = answers(target, drafter_model, sampled, draft_length=3)
    alone = answers(target, drafter_model, sampled, draft_length=0)
    assert [s.tokens for s in drafted] == [s.tokens for s in alone]
    assert sum(s.accepted for s in drafted) > 0
