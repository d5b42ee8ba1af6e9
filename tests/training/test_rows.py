"""Many pairs behind one prefix are worth what they are worth one by one; prompts are those of the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from cloud.prompt import target_prompt
from common.errors import SettingsError
from common.frames import clip_pixels
from common.tokenizer import Tokenizer as RuntimeTokenizer
from edge.eventgpt.prompt import EVENT_PLACEHOLDER, prompt_ids
from tests.training.samples import micro
from training.attention import ATTENTION_NAME
from training.data.batches import Pair, Shards, pack_pairs, packed_mask, packed_positions
from training.data.shards import encode_question, shrink, video_frames
from training.growth import grow
from training.models import DRAFTER_TEMPLATE, normalise
from training.objective import answer_logits, prefix_of
from training.tokenizer import VOCABULARY
from training.world.questions import Question
from training.world.scenes import sample_scene

PAIRS = [
    Pair([11, 12, 13], [14, 15, 2]),
    Pair([21, 22], [23, 2], about={1: 2}),
    Pair([31, 32, 33, 34], [35, 36, 37, 38, 2]),
]


def test_pairs_lie_one_after_the_other() -> None:
    text = pack_pairs([PAIRS, PAIRS[:1]], room=20)
    assert text.ids[0, :6].tolist() == [11, 12, 13, 14, 15, 2]
    assert text.owner[0].tolist() == [0] * 6 + [1] * 4 + [2] * 9 + [-1]
    assert text.offsets[0, 6:10].tolist() == [0, 1, 2, 3]
    assert text.goals[0, :6].tolist() == [-100, -100, 14, 15, 2, -100]
    assert (text.owner[1, 6:] == -1).all()
    assert text.about[0].tolist() == [-1] * 7 + [2] + [-1] * 12
    assert packed_positions(text.offsets, 7)[0, :14].tolist() == [*range(7), *range(7, 13), 7]


def test_what_does_not_fit_is_left_out_or_refused() -> None:
    assert pack_pairs([PAIRS], room=11).owner.max() == 1
    with pytest.raises(SettingsError, match="more room"):
        pack_pairs([PAIRS], room=4)


def test_who_sees_whom() -> None:
    mask = packed_mask(torch.tensor([[0, 0, 1, 1, -1]]), prefix=2)[0, 0]
    assert mask.int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("attention", [ATTENTION_NAME, "sdpa"])
@pytest.mark.parametrize("kind", ["target", "drafter"])
def test_packed_pairs_give_what_single_pairs_give(kind: str, attention: str, tokenizer: Tokenizer) -> None:
    learner = micro(kind)
    learner.language.set_attn_implementation(attention)
    prefix = prefix_of(learner, tokenizer)
    pixels = torch.randn(2, 8 if kind == "target" else 5, 3, 56, 56)
    with torch.no_grad():
        packed, goals = answer_logits(learner, prefix, pixels, pack_pairs([PAIRS, PAIRS[1:]], room=24))
        alone = [
            answer_logits(
                learner, prefix, pixels[row : row + 1], pack_pairs([[pair]], room=len(pair[0]) + len(pair[1]))
            )
            for row, pairs in enumerate([PAIRS, PAIRS[1:]])
            for pair in pairs
        ]
    assert goals.tolist() == torch.cat([goal for _, goal in alone]).tolist()
    torch.testing.assert_close(packed, torch.cat([logits for logits, _ in alone]), atol=2e-5, rtol=1e-4)


def test_the_target_learner_computes_what_the_whole_model_computes(tokenizer: Tokenizer) -> None:
    learner = micro("target")
    prefix = prefix_of(learner, tokenizer)
    pixels = torch.randn(1, 8, 3, 56, 56)
    prompt, answer = PAIRS[0][:2]
    ids = [*prefix.before, *[VOCABULARY + 1] * 136, *prefix.after, *prompt, *answer]
    with torch.no_grad():
        mine, _ = answer_logits(learner, prefix, pixels, pack_pairs([PAIRS[:1]], room=6))
        whole = learner.model(input_ids=torch.tensor([ids]), pixel_values_videos=pixels).logits[0]
    torch.testing.assert_close(mine, whole[-4:-1], atol=2e-5, rtol=1e-4)


def test_prompts_are_those_of_the_runtime(tokenizer: Tokenizer) -> None:
    question = Question("colour", "What colour is the large object?", "It is red.")
    prompt, _ = encode_question(tokenizer, question)
    runtime = RuntimeTokenizer(tokenizer)
    before, after = prefix_of(micro("drafter"), tokenizer).before, prefix_of(micro("drafter"), tokenizer).after
    drafted = prompt_ids(question.text, runtime, DRAFTER_TEMPLATE)
    assert drafted == [*before, EVENT_PLACEHOLDER, *after, *prompt[1:]]
    ours = prefix_of(micro("target"), tokenizer)
    theirs = target_prompt(question.text, runtime)
    assert theirs.prefix == ours.before
    assert theirs.suffix == (*ours.after, *prompt[1:])


def test_pixels_are_those_of_the_runtime() -> None:
    frames = video_frames(sample_scene(3))
    mine = normalise(torch.from_numpy(shrink(frames))[None])[0].numpy()
    np.testing.assert_allclose(mine, clip_pixels(frames, 56), atol=1e-5)


@pytest.mark.parametrize("kind", ["target", "drafter"])
def test_growing_changes_nothing_at_first(kind: str, tokenizer: Tokenizer) -> None:
    learner = micro(kind)
    prefix = prefix_of(learner, tokenizer)
    pixels = torch.randn(1, 8 if kind == "target" else 5, 3, 56, 56)
    text = pack_pairs([PAIRS], room=20)
    with torch.no_grad():
        before, _ = answer_logits(learner, prefix, pixels, text)
        grow(learner.language, 5)
        after, _ = answer_logits(learner, prefix, pixels, text)
    assert len(learner.language.layers) == 5
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="can't be grown"):
        grow(learner.language, 3)


def test_draws_visit_every_scene_once_an_epoch(data: Path) -> None:
    shards = Shards(data, "frames")
    seen = np.concatenate([shards.draw(4, step, seed=3) for step in range(len(shards) // 4)])
    assert sorted(seen.tolist()) == list(range(len(shards)))
    assert shards.draw(4, 1, seed=3).tolist() != shards.draw(4, 1, seed=4).tolist()
