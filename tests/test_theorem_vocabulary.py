"""A drafter of another vocabulary drafts, by text or by shared pieces: the answer is the target's alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cloud.target import VideoLlavaTarget
from cloud.video import sampled_indices
from common.shipped import shipped_drafter, shipped_other_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.types import Pace, SamplingParams
from common.vocabulary import Spelling
from edge.drafter_model import DrafterModel
from edge.eventgpt import EventGPT, prompt_ids
from edge.events import raster
from edge.vocabularies import vocabularies
from edge.vocabulary import Way
from tests.cloud.driver import Case, generate
from tests.test_theorem_states import InProcess, engine_with
from training.data.shards import HELD_OUT, scene_events
from training.vocabulary.tokenizer import VOCABULARY
from training.vocabulary.transplant import transplant
from training.world.questions import KINDS, ask
from training.world.render import frame_times, render_rgb
from training.world.scenes import sample_scene

SAMPLED = SamplingParams(1.2, top_p=0.95, seed=4)
QUESTIONS = 3


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    torch.set_num_threads(1)
    return VideoLlavaTarget.from_pretrained(shipped_target())


@pytest.fixture(scope="module")
def other() -> tuple[EventGPT, Tokenizer]:
    """The shipped drafter with another vocabulary: untrained in it, so it is wrong often."""
    words = Tokenizer.from_folder(shipped_other_drafter())
    model = transplant(
        EventGPT.from_pretrained(shipped_drafter()), Tokenizer.from_folder(shipped_drafter()), words, VOCABULARY
    )
    return model.eval(), words


def drafter(other: tuple[EventGPT, Tokenizer], target: VideoLlavaTarget, way: Way) -> DrafterModel:
    model, words = other
    assert target.tokenizer is not None
    known = vocabularies(words, [target.tokenizer], way, model.config.eos_token_ids)
    made = DrafterModel("other", model, words, known=known)
    return made.speaking(known.speaking(target.tokenizer.hash))


@pytest.fixture(scope="module")
def pairs(other: tuple[EventGPT, Tokenizer]) -> list[tuple[Case, list[Any]]]:
    """The questions with the longest answers about one held-out clip, and what the event camera saw of it."""
    scene = sample_scene(HELD_OUT + 960_000)
    frames = render_rgb(scene, frame_times())
    events = scene_events(scene)
    drawn = raster(events, frames=other[0].config.frames, canvas=(events.height, events.width))
    rng = np.random.default_rng(0)
    asked = [q for q in (ask(scene, kind, rng) for kind in KINDS) if q is not None]
    asked.sort(key=lambda question: -len(question.answer))
    seen = [frames[i] for i in sampled_indices(len(frames))]
    return [(Case(question.text, seen, max_tokens=30), drawn) for question in asked[:QUESTIONS]]


@pytest.mark.parametrize("way", list(Way), ids=[way.value for way in Way])
async def test_the_answer_is_the_targets(
    way: Way, target: VideoLlavaTarget, other: tuple[EventGPT, Tokenizer], pairs: list[tuple[Case, list[Any]]]
) -> None:
    model = drafter(other, target, way)
    engine = engine_with(target, None)
    for number, (case, drawn) in enumerate(pairs):
        for sampling in (SamplingParams(), SAMPLED):
            asked = replace(case, sampling=sampling)
            one = InProcess(engine, target, model)
            answer = await one.answer(asked, drawn, list(Pace)[number % 2])
            if sampling.greedy:
                assert answer == generate(target, case)
            else:
                assert answer == await InProcess(engine_with(target, None), target, None).answer(asked, [])
            assert one.drafts
            assert all(draft.token_ids for draft in one.drafts)
    engine.check_integrity()


@pytest.mark.parametrize("way", list(Way), ids=[way.value for way in Way])
def test_a_drafter_taken_back_drafts_like_a_new_one(
    way: Way, target: VideoLlavaTarget, other: tuple[EventGPT, Tokenizer], pairs: list[tuple[Case, list[Any]]]
) -> None:
    """Whatever was committed: a word, half of one, half of a character, letters that no word is made of."""
    model = drafter(other, target, way)
    case, drawn = pairs[0]
    prompt = prompt_ids(case.question, model.tokenizer, model.model.config.prompt_template)
    spelling = Spelling(model.words)
    circle = spelling.spell(b" The circle")
    cafe = spelling.spell(" café".encode())
    assert circle is not None and cafe is not None
    drafting = _fresh(model, prompt, drawn)
    answer: list[int] = []
    for committed in (circle, spelling.spell(b" tri"), cafe[:-1], cafe[-1:], spelling.spell(b" xyz")):
        assert committed is not None
        drafting.draft(5)
        drafting.commit(len(answer), committed)
        answer += committed
        new = _fresh(model, prompt, drawn)
        new.commit(0, answer)
        assert drafting.draft(4) == new.draft(4)
        drafting.commit(len(answer), [*committed[:1], 0])  # and away from what both have drafted
        drafting.commit(len(answer), spelling.spell(b" zz") or [])
        answer += spelling.spell(b" zz") or []


def _fresh(model: DrafterModel, prompt: list[int], drawn: list[Any]) -> Any:
    one = model.new(SamplingParams(), 64)
    one.prefill(prompt, drawn)
    return model.adapted(one, one)
