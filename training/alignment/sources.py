"""Where scenes with their questions come from: training shards, the generator, or held-out scenes. All by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor

from edge.events import raster
from training.data.batches import Pair, Shards
from training.data.shards import HELD_OUT, QUESTIONS, encode_question, scene_events, shrink, video_frames
from training.evaluation.cases import held_out, pixels_of
from training.models import normalise
from training.world.questions import sample_questions
from training.world.scenes import SENSOR, Scene, sample_scene


@dataclass(frozen=True, slots=True)
class Material:
    """One scene as both models see it, with questions and their expected answers.

    Attributes:
        seed: of the scene.
        video: pixels [8, 3, 56, 56].
        events: pixels [5, 3, 56, 56].
        pairs: questions in a fixed order. The answers are guesses at what the target says.
    """

    seed: int
    video: Tensor
    events: Tensor
    pairs: tuple[Pair, ...]


class Source(Protocol):
    """Scenes by number, always the same."""

    @property
    def about(self) -> dict[str, Any]:
        """What tells this source from others."""
        ...

    def __len__(self) -> int:
        """Number of scenes."""
        ...

    def questions(self, index: int) -> int | None:
        """Questions of a scene, where that is known without making it."""
        ...

    def scenes(self, start: int) -> Iterator[Material]:
        """The scenes from number `start` on."""
        ...


class ShardSource:
    """The first scenes of the training shards in a folder (`eventspec-train data`)."""

    def __init__(self, folder: Path, count: int, each: int) -> None:
        """Take `count` scenes with `each` questions.

        Raises:
            SettingsError: the folder has no training data.
        """
        self._video, self._events = Shards(folder, "frames"), Shards(folder, "events")
        self._count, self._each = min(count, len(self._video), len(self._events)), min(each, QUESTIONS)

    @property
    def about(self) -> dict[str, Any]:
        return {"source": "shards", "scenes": self._count, "questions": self._each}

    def __len__(self) -> int:
        return self._count

    def questions(self, index: int) -> int | None:
        return self._each

    def scenes(self, start: int) -> Iterator[Material]:
        for index in range(start, self._count):
            at = np.array([index])
            pairs = self._video.pairs(index, np.random.default_rng([index, 0xA11]))[: self._each]
            yield Material(
                seed=index,
                video=normalise(self._video.frames(at))[0],
                events=normalise(self._events.frames(at))[0],
                pairs=tuple(pairs),
            )


class GeneratedSource:
    """Training scenes drawn here and now: about 20 ms each, and no disk."""

    def __init__(self, tokenizer: Tokenizer, count: int, each: int) -> None:
        self._tokenizer, self._count, self._each = tokenizer, count, each

    @property
    def about(self) -> dict[str, Any]:
        return {"source": "generated", "scenes": self._count, "questions": self._each}

    def __len__(self) -> int:
        return self._count

    def questions(self, index: int) -> int | None:
        return self._each

    def scenes(self, start: int) -> Iterator[Material]:
        for seed in range(start, self._count):
            scene = sample_scene(seed)
            questions = sample_questions(scene, self._each, np.random.default_rng([seed, 0xA5C]))
            encoded = [encode_question(self._tokenizer, question) for question in questions]
            yield Material(
                seed=seed,
                video=pixels_of(shrink(video_frames(scene))),
                events=event_pixels(scene),
                pairs=tuple(Pair(prompt[1:], answer) for prompt, answer in encoded),
            )


class HeldOutSource:
    """Held-out scenes, one question of every kind that they have; the same ones that `evaluate` measures on."""

    def __init__(self, tokenizer: Tokenizer, count: int) -> None:
        self._tokenizer, self._count = tokenizer, count

    @property
    def about(self) -> dict[str, Any]:
        return {"source": "held out", "scenes": self._count, "first_seed": HELD_OUT}

    def __len__(self) -> int:
        return self._count

    def questions(self, index: int) -> int | None:
        return None

    def scenes(self, start: int) -> Iterator[Material]:
        for case in held_out(self._count - start, self._tokenizer, first=start):
            yield Material(case.scene.seed, case.video, case.events, case.pairs)


def event_pixels(scene: Scene) -> Tensor:
    """The drafter's pixels [5, 3, 56, 56] of a scene."""
    return pixels_of(shrink(np.stack(raster(scene_events(scene), canvas=(SENSOR, SENSOR)))))
