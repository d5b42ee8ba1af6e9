"""What there is: scenes of one to three things, as a pure function of a seed.

Positions are in pixels of the 80 x 80 sensor (x to the right, y down), times in seconds of a 2 s clip.
Things never touch, stay inside the picture, and start at clearly different x, so that "from left to right"
is an order that can be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

SENSOR = 80
"""Side of the square sensor, in pixels."""
DURATION = 2.0
"""Length of every clip, in seconds."""

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = ("small", "large")
DIRECTIONS = ("left", "right", "up", "down")
RADII = {"small": 7.5, "large": 12.5}
STEPS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}

_REACH = 1.2  # the farthest point of any shape, in radii
_SPEEDS = {"slowly": (7.0, 10.0), "quickly": (19.0, 25.0)}
_START_GAP = 8.0
_APPEAR, _LEAVE = (0.4, 1.0), (1.0, 1.6)


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene. `intensity` (the mean of its RGB) is drawn without looking at `colour`."""

    colour: str
    shape: str
    size: str
    motion: str | None
    """A direction, or None for a thing at rest."""
    speed: str | None
    """`slowly` or `quickly`; None at rest."""
    intensity: float
    x: float
    y: float
    vx: float
    vy: float
    appears: float | None = None
    leaves: float | None = None

    @property
    def radius(self) -> float:
        return RADII[self.size]

    @property
    def first(self) -> float:
        """When it is first seen."""
        return 0.0 if self.appears is None else self.appears

    @property
    def last(self) -> float:
        """When it is last seen."""
        return DURATION if self.leaves is None else self.leaves

    def visible(self, time: float) -> bool:
        return self.first <= time and (self.leaves is None or time < self.leaves)

    def at(self, time: float) -> tuple[float, float]:
        """The centre at `time`; (x, y) is where it is first seen."""
        moved = time - self.first
        return self.x + self.vx * moved, self.y + self.vy * moved


@dataclass(frozen=True, slots=True)
class Scene:
    """Things from left to right (by where each is first seen) on a dark background with a soft gradient."""

    seed: int
    things: tuple[Thing, ...]
    background: float
    gradient: tuple[float, float]


def sample_scene(seed: int) -> Scene:
    """The scene of this seed."""
    rng = np.random.default_rng([seed, 0x5CE7E])
    count = int(rng.choice([1, 2, 3], p=[0.25, 0.4, 0.35]))
    while True:
        things = tuple(sorted((_sample_thing(rng) for _ in range(count)), key=lambda thing: thing.x))
        if _apart(things):
            break
    slope = rng.uniform(-0.02, 0.02, size=2)
    return Scene(seed, things, float(rng.uniform(0.05, 0.09)), (float(slope[0]), float(slope[1])))


def _sample_thing(rng: np.random.Generator) -> Thing:
    size = str(rng.choice(SIZES))
    motion = str(rng.choice(DIRECTIONS)) if rng.random() < 0.7 else None
    speed = str(rng.choice(list(_SPEEDS))) if motion else None
    vx, vy = 0.0, 0.0
    if motion and speed:
        pace = float(rng.uniform(*_SPEEDS[speed]))
        vx, vy = STEPS[motion][0] * pace, STEPS[motion][1] * pace
    appears, leaves = None, None
    fate = rng.random()
    if fate < 0.15:
        appears = float(rng.uniform(*_APPEAR))
    elif fate < 0.3:
        leaves = float(rng.uniform(*_LEAVE))
    seen = (DURATION if leaves is None else leaves) - (appears or 0.0)
    x = _sample_start(rng, RADII[size], vx * seen)
    y = _sample_start(rng, RADII[size], vy * seen)
    return Thing(
        colour=str(rng.choice(COLOURS)),
        shape=str(rng.choice(SHAPES)),
        size=size,
        motion=motion,
        speed=speed,
        intensity=float(rng.uniform(0.22, 0.31)),
        x=x,
        y=y,
        vx=vx,
        vy=vy,
        appears=appears,
        leaves=leaves,
    )


def _sample_start(rng: np.random.Generator, radius: float, travel: float) -> float:
    """A start such that the whole way of `travel` stays inside the picture."""
    low = _REACH * radius + max(0.0, -travel)
    high = SENSOR - _REACH * radius - max(0.0, travel)
    return float(rng.uniform(low, high))


def _apart(things: tuple[Thing, ...]) -> bool:
    if any(b.x - a.x < _START_GAP for a, b in pairwise(things)):
        return False
    times = np.linspace(0.0, DURATION, 13)
    for i, a in enumerate(things):
        for b in things[i + 1 :]:
            gap = _REACH * (a.radius + b.radius)
            for time in times:
                if min(a.last, b.last) < time or time < max(a.first, b.first):
                    continue
                if math.dist(a.at(time), b.at(time)) < gap:
                    return False
    return True
