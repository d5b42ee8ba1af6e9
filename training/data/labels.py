"""Dense labels for the warm-up of the vision towers: what lies where in each frame, from the scene itself.

A tower that has learned to say, patch by patch, what it sees gives the language model something to read
from its first step on. Labels are int8 rows, one for each patch of each frame, with -1 everywhere where no
thing's centre lies in the patch.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from training.world.questions import corner
from training.world.scenes import COLOURS, DIRECTIONS, SENSOR, SHAPES, SIZES, Scene, Thing

GRID = 4
"""Patches along each side of a frame (56 pixels, patches of 14)."""

VIDEO_FIELDS = {"colour": len(COLOURS), "shape": len(SHAPES), "size": len(SIZES), "x": 8, "y": 8}
EVENT_FIELDS = {
    "motion": len(DIRECTIONS) + 1,
    "speed": 3,
    "shape": len(SHAPES),
    "size": len(SIZES),
    "x": 8,
    "y": 8,
}
TRACK_FIELDS = {"motion": len(DIRECTIONS) + 1, "speed": 3, "rank": 3, "appeared": 2}
"""Fields of a label and their numbers of classes; x and y are eighths of the patch."""

CORNERS = ("upper left", "upper right", "lower left", "lower right", None)
LOOK_FIELDS = {field: VIDEO_FIELDS[field] for field in ("colour", "shape", "size")}
FATE_FIELDS = {"left": 2, "start": len(CORNERS), "end": len(CORNERS)}
THING_FIELDS = LOOK_FIELDS | TRACK_FIELDS | FATE_FIELDS | {"patch": GRID * GRID}
"""What a whole clip says of a thing. `start` and `end` are corners; `patch` is where the thing was last seen, and -1
if another thing was there since."""

LabelArray = npt.NDArray[np.int8]


def video_labels(scene: Scene, times: npt.NDArray[np.float64]) -> LabelArray:
    """Labels of the video frames at `times`, int8 [T, 16, 5] in the order of `VIDEO_FIELDS`."""
    labels = np.full((len(times), GRID * GRID, len(VIDEO_FIELDS)), -1, np.int8)
    for row, time in zip(labels, times, strict=True):
        for thing in scene.things:
            if thing.visible(float(time)):
                _put(row, thing, float(time), _looks(thing))
    return labels


def track_labels(scene: Scene, times: npt.NDArray[np.float64]) -> LabelArray:
    """What only several frames together show, int8 [T, 16, 4] in the order of `TRACK_FIELDS`.

    They lie where `video_labels` lie. `rank` is the place from left to right, by where things are first seen.
    """
    labels = np.full((len(times), GRID * GRID, len(TRACK_FIELDS)), -1, np.int8)
    for row, time in zip(labels, times, strict=True):
        for rank, thing in enumerate(scene.things):
            if thing.visible(float(time)):
                row[_patch(thing, float(time))] = (*_motion(thing), rank, thing.appears is not None)
    return labels


def thing_labels(scene: Scene, times: npt.NDArray[np.float64]) -> LabelArray:
    """What the whole clip says of each thing, int8 [3, 11] in the order of `THING_FIELDS`; -1 where there is none."""
    labels = np.full((TRACK_FIELDS["rank"], len(THING_FIELDS)), -1, np.int8)
    seen = {rank: max(float(t) for t in times if thing.visible(float(t))) for rank, thing in enumerate(scene.things)}
    owners = {_patch(scene.things[rank], seen[rank]): rank for rank in sorted(seen, key=lambda rank: seen[rank])}
    for rank, thing in enumerate(scene.things):
        place = _patch(thing, seen[rank])
        labels[rank] = (
            *_looks(thing),
            *(*_motion(thing), rank, thing.appears is not None),
            *(thing.leaves is not None, CORNERS.index(corner(thing, thing.first))),
            CORNERS.index(corner(thing, thing.last)),
            place if owners[place] == rank else -1,
        )
    return labels


def event_labels(scene: Scene, edges: npt.NDArray[np.float64]) -> LabelArray:
    """Labels of event frames between times `edges` [T + 1], int8 [T, 16, 6] in the order of `EVENT_FIELDS`.

    Only things that fire in the slice are there: those that move, appear or leave in it. Their place is
    that at the slice's end.
    """
    labels = np.full((len(edges) - 1, GRID * GRID, len(EVENT_FIELDS)), -1, np.int8)
    for row, start, end in zip(labels, edges[:-1], edges[1:], strict=True):
        for thing in scene.things:
            changes = any(at is not None and start <= at < end for at in (thing.appears, thing.leaves))
            alive = thing.first < end and thing.last > start
            if alive and (thing.motion or changes):
                what = (*_motion(thing), SHAPES.index(thing.shape), SIZES.index(thing.size))
                _put(row, thing, min(float(end), thing.last), what)
    return labels


def _looks(thing: Thing) -> tuple[int, int, int]:
    return COLOURS.index(thing.colour), SHAPES.index(thing.shape), SIZES.index(thing.size)


def _motion(thing: Thing) -> tuple[int, int]:
    motion = DIRECTIONS.index(thing.motion) if thing.motion else len(DIRECTIONS)
    return motion, {"slowly": 0, "quickly": 1, None: 2}[thing.speed]


def _patch(thing: Thing, time: float) -> int:
    x, y = _place(thing, time)
    return int(y) * GRID + int(x)


def _place(thing: Thing, time: float) -> tuple[float, float]:
    """The centre in patches."""
    x, y = (min(max(value / SENSOR * GRID, 0.0), GRID - 1e-6) for value in thing.at(time))
    return x, y


def _put(row: LabelArray, thing: Thing, time: float, what: Iterable[int]) -> None:
    x, y = _place(thing, time)
    row[_patch(thing, time)] = (*what, int(x % 1 * 8), int(y % 1 * 8))
