"""Micro models and micro data of the same kinds as the tiny pair's."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer

from training.data.shards import generate
from training.models import DrafterLearner, Learner, TargetLearner, drafter_config, target_config
from training.plan import Phase

SCENES = 6


def micro(kind: str, layers: int = 2, seed: int = 0) -> Learner:
    """A target or drafter of width 32."""
    torch.manual_seed(seed)
    if kind == "target":
        return TargetLearner(target_config(layers, width=32, vision_width=32))
    return DrafterLearner(drafter_config(layers, width=32, vision_width=32))


def micro_data(folder: Path, tokenizer: Tokenizer) -> Path:
    """Two shards of a few scenes."""
    for _ in generate(folder, 2, tokenizer, size=SCENES):
        pass
    return folder


MICRO_PLAN = (
    Phase("see", "patches", steps=2, rate=1e-3, batch=2, layers=2),
    Phase("watch", "watch", steps=2, rate=1e-3, batch=2, layers=2),
    Phase("speak", "tracks", steps=2, rate=1e-3, batch=2, layers=2, room=120),
    Phase("deepen", "answers", steps=2, rate=1e-3, batch=2, layers=3, room=120),
    Phase("recall", "fates", steps=2, rate=1e-3, batch=2, layers=3, room=120, favour={"several": 4.0}),
)
