"""How each model is trained: phases, each with its own objective, steps and one-cycle learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training.

    Attributes:
        name: for logs and checkpoints.
        goal: `patches` (dense labels, vision tower only), `watch` (dense labels on vision
            tower and video tokens in the lower half of the language model), `answers`, `tracks` (answers and
            the labels of `watch`), or `fates` (those and what only the whole clip tells: see `training.heads`).
        steps: optimiser steps.
        rate: the peak learning rate.
        batch: scenes a step.
        room: tokens of text a row (answers only).
        layers: layers of the language model from this phase on; missing ones are inserted as identities.
        least_things: scenes with fewer things are left out (they are learnt first).
        warm: share of the steps in which the rate rises.
        favour: weights of the groups of questions that are drawn more (or less) often than others.
    """

    name: str
    goal: Literal["patches", "watch", "answers", "tracks", "fates"]
    steps: int
    rate: float
    batch: int
    layers: int
    room: int = 160
    least_things: int = 1
    warm: float = 0.1
    favour: Mapping[str, float] = field(default_factory=dict)

    def rate_at(self, step: int) -> float:
        """Learning rate of `step`: up in a straight line, down along a cosine to a fiftieth."""
        rise = max(1, round(self.steps * self.warm))
        if step < rise:
            return self.rate * (step + 1) / rise
        left = (step - rise) / max(1, self.steps - rise)
        return self.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * left)))


_WEAK = {"place": 2.0, "leaves": 2.0, "act": 2.0, "several": 4.0, "describe": 1.5, "story": 1.5}

TARGET_PLAN = (
    Phase("see", "patches", steps=1500, rate=2e-3, batch=32, layers=4),
    Phase("speak", "answers", steps=765, rate=1.5e-3, batch=16, layers=4),
    Phase("track", "tracks", steps=500, rate=1.2e-3, batch=16, layers=4),
    Phase("watch", "watch", steps=728, rate=1.0e-3, batch=32, layers=4),
    Phase("answer", "tracks", steps=1860, rate=1.0e-3, batch=16, layers=4),
    Phase("deepen", "tracks", steps=430, rate=8e-4, batch=8, layers=8, least_things=2, warm=0.15),
    Phase("settle", "tracks", steps=510, rate=8e-4, batch=8, layers=8, warm=0.02),
    Phase("bind", "tracks", steps=1700, rate=7e-4, batch=8, layers=8, warm=0.03),
    Phase("finish", "tracks", steps=480, rate=4e-4, batch=8, layers=8, warm=0.03),
    Phase("recall", "fates", steps=2600, rate=7e-4, batch=8, layers=8, warm=0.03, favour=_WEAK),
)

DRAFTER_PLAN = (
    Phase("see", "patches", steps=1500, rate=2e-3, batch=32, layers=2),
    Phase("speak", "answers", steps=2300, rate=2e-3, batch=32, layers=2),
    Phase("polish", "answers", steps=500, rate=6e-4, batch=32, layers=2),
)
