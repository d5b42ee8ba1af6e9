"""Held-out clips: scenes that no model was trained on, as an encoded video and an event recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.clips import ClipQuestion
from edge.events.formats import save_events
from edge.video import write_video
from training.data.shards import HELD_OUT, scene_events
from training.world.questions import KINDS, Question, ask
from training.world.render import FRAME_RATE, frame_times, render_rgb
from training.world.scenes import Scene, sample_scene

FIRST_SEED = HELD_OUT + 700_000
"""Of scenes that neither evaluation, extraction nor the shipped clips use."""
_ENCODER = {"preset": "veryfast", "bf": "0", "threads": "1"}


def asked_about(scene: Scene) -> list[Question]:
    """A question of every kind that this scene has, the longest answers first."""
    rng = np.random.default_rng([scene.seed, 0xA11])
    asked = [question for kind in KINDS if (question := ask(scene, kind, rng)) is not None]
    return sorted(asked, key=lambda question: -len(question.answer))


def held_out_clips(folder: Path, scenes: int, questions: int) -> list[ClipQuestion]:
    """Write clips of `scenes` scenes into `folder`; up to `questions` questions of different kinds about each.

    The questions with the longest answers are taken: short ones leave little to draft.
    """
    found: list[ClipQuestion] = []
    for seed in range(FIRST_SEED, FIRST_SEED + scenes):
        scene = sample_scene(seed)
        asked = asked_about(scene)
        name = f"held-out-{seed - HELD_OUT}"
        video, events = folder / f"{name}.mp4", folder / f"{name}.h5"
        write_video(video, render_rgb(scene, frame_times()), fps=FRAME_RATE, options=_ENCODER)
        save_events(scene_events(scene), events)
        found += [ClipQuestion(name, events, video, one.text, one.answer) for one in asked[:questions]]
    return found
