"""Held-out scenes and questions, as both models see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from edge.events import raster
from training.data.batches import Pair
from training.data.shards import HELD_OUT, encode_question, scene_events, shrink, video_frames
from training.models import normalise
from training.world.questions import KINDS, Question, ask
from training.world.scenes import SENSOR, Scene, sample_scene


@dataclass(frozen=True, slots=True)
class Case:
    """A held-out scene with one question of every kind that it has.

    Attributes:
        scene: what there is.
        questions: at most one of each kind.
        pairs: their ids, as `Shards.pairs` gives them.
        video: pixels [8, 3, 56, 56] for the target.
        events: pixels [5, 3, 56, 56] for the drafter.
    """

    scene: Scene
    questions: tuple[Question, ...]
    pairs: tuple[Pair, ...]
    video: Tensor
    events: Tensor


def held_out(count: int, tokenizer: Tokenizer, first: int = 0) -> Iterator[Case]:
    """`count` held-out cases from number `first` on."""
    for seed in range(HELD_OUT + first, HELD_OUT + first + count):
        scene = sample_scene(seed)
        rng = np.random.default_rng([seed, 0xE7A1])
        questions = tuple(q for kind in KINDS if (q := ask(scene, kind, rng)) is not None)
        pairs = [encode_question(tokenizer, question) for question in questions]
        events = shrink(np.stack(raster(scene_events(scene), canvas=(SENSOR, SENSOR))))
        yield Case(
            scene=scene,
            questions=questions,
            pairs=tuple(Pair(prompt[1:], answer) for prompt, answer in pairs),
            video=pixels_of(shrink(video_frames(scene))),
            events=pixels_of(events),
        )


def pixels_of(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Pixels [T, 3, S, S] of frames uint8 [T, S, S, 3]."""
    return normalise(torch.from_numpy(frames)[None])[0]
