"""Shipped clips: held-out scenes as an encoded video and an event recording, with questions and expected answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from edge.events.formats import save_events
from edge.video import read_frames, write_video
from training.data.batches import Pair
from training.data.shards import HELD_OUT, encode_question, scene_events, seen_frames, shrink
from training.evaluation.cases import pixels_of
from training.evaluation.target import choices
from training.models import TargetLearner
from training.objective import prefix_of
from training.world.questions import Question, ask
from training.world.render import FRAME_RATE, ByteArray, frame_times, render_rgb
from training.world.scenes import Scene, sample_scene

_FIRST_SEED = HELD_OUT + 500_000
_ENCODER = {"preset": "veryslow", "bf": "0", "threads": "1"}  # in order, and the same on every machine


@dataclass(frozen=True, slots=True)
class Wish:
    """A clip to look for: what its scene must be like, and what is asked about it."""

    name: str
    fits: Callable[[Scene], bool]
    kinds: tuple[str, ...]


WISHES = (
    Wish("lone-runner", lambda scene: _motions(scene) == ["quickly"], ("direction", "colour", "describe")),
    Wish("race", lambda scene: sorted(_motions(scene)) == ["quickly", "slowly"], ("fastest", "moving", "story")),
    Wish(
        "crossing",
        lambda scene: len(scene.things) == 3 and len(set(_motions(scene))) == 3,
        ("describe", "still", "count_moving"),
    ),
    Wish(
        "newcomer",
        lambda scene: len(scene.things) == 2 and sum(t.appears is not None for t in scene.things) == 1,
        ("appears", "act", "story"),
    ),
    Wish(
        "farewell",
        lambda scene: len(scene.things) == 3 and sum(t.leaves is not None for t in scene.things) == 1,
        ("leaves", "describe", "place"),
    ),
    Wish(
        "busy",
        lambda scene: len(scene.things) == 3 and "still" not in _motions(scene),
        ("speed", "yes_no", "shape", "moving"),
    ),
)


def write_clips(folder: Path, target: TargetLearner, tokenizer: Tokenizer) -> list[str]:
    """Write one clip for each wish, taking the first held-out scene about which the target is right; returns names.

    Right means right on the frames that come out of the encoded video.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    for wish in WISHES:
        for scene, questions in _candidates(wish):
            path = folder / f"{wish.name}.mp4"
            write_video(path, render_rgb(scene, frame_times()), fps=FRAME_RATE, options=_ENCODER)
            shown = np.stack([frame for _, frame in read_frames(path)])
            if _is_right(target, tokenizer, shown, questions):
                break
        save_events(scene_events(scene), folder / f"{wish.name}.h5")
        asked = [{"question": question.text, "answer": question.answer} for question in questions]
        files = {"video": f"{wish.name}.mp4", "events": f"{wish.name}.h5"}
        entries.append({"name": wish.name, **files, "seed": scene.seed, "questions": asked})
    text = json.dumps({"format": 1, "clips": entries}, indent=2) + "\n"
    (folder / "clips.json").write_text(text)
    return [str(entry["name"]) for entry in entries]


def _candidates(wish: Wish) -> Iterator[tuple[Scene, list[Question]]]:
    """Held-out scenes that fit the wish and have a question of each of its kinds."""
    seed = _FIRST_SEED + 10_000 * WISHES.index(wish)
    while True:
        scene = sample_scene(seed)
        seed += 1
        if not wish.fits(scene):
            continue
        rng = np.random.default_rng([scene.seed, 0xC11])
        questions = [question for kind in wish.kinds if (question := ask(scene, kind, rng)) is not None]
        if len(questions) == len(wish.kinds):
            yield scene, questions


def _is_right(target: TargetLearner, tokenizer: Tokenizer, frames: ByteArray, questions: Sequence[Question]) -> bool:
    pixels = pixels_of(shrink(frames[seen_frames()]))
    pairs = []
    for question in questions:
        prompt, answer = encode_question(tokenizer, question)
        pairs.append(Pair(prompt[1:], answer))
    own = choices(target, prefix_of(target, tokenizer), pixels, pairs)
    return all(list(pair.answer) == chosen for pair, chosen in zip(pairs, own, strict=True))


def _motions(scene: Scene) -> list[str]:
    return [thing.speed or "still" for thing in scene.things]
