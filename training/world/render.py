"""What the senses see of a scene: RGB frames for the camera, intensity steps for the event sensor.

The gap between the senses is made here. A colour is a direction in RGB whose mean is 1, so a thing of
intensity I has mean RGB I whatever its hue; the event sensor sees the mean of RGB and nothing else. It
therefore can't tell hues, and it says nothing about what does not change.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.world.scenes import DURATION, SENSOR, Scene, Thing

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]

FRAME_RATE = 16
FRAME_COUNT = 32
EVENT_STEPS = 100

HUES: dict[str, tuple[float, float, float]] = {
    "red": (3.0, 0.0, 0.0),
    "green": (0.0, 3.0, 0.0),
    "blue": (0.0, 0.0, 3.0),
    "yellow": (1.5, 1.5, 0.0),
    "purple": (1.5, 0.0, 1.5),
    "cyan": (0.0, 1.5, 1.5),
}
"""Directions in RGB; each has mean 1."""

_GRID_Y, _GRID_X = np.mgrid[0:SENSOR, 0:SENSOR].astype(np.float32) + 0.5
_ROOT3 = 3.0**0.5


def frame_times() -> npt.NDArray[np.float64]:
    """Times of the video's frames in seconds, [32]."""
    return np.arange(FRAME_COUNT) / FRAME_RATE


def event_times() -> npt.NDArray[np.float64]:
    """Times of the event sensor's steps in seconds, [101], both ends included."""
    return np.linspace(0.0, DURATION, EVENT_STEPS + 1)


def render_rgb(scene: Scene, times: npt.NDArray[np.float64]) -> ByteArray:
    """The camera's frames at `times`, RGB uint8 [T, 80, 80, 3]."""
    empty = _background(scene)
    frames = np.empty((len(times), SENSOR, SENSOR, 3), np.float32)
    for frame, time in zip(frames, times, strict=True):
        frame[:] = empty[:, :, None]
        for thing in scene.things:
            if thing.visible(float(time)):
                rows, cols, cover = _cover(thing, float(time))
                paint = np.asarray(HUES[thing.colour], np.float32) * np.float32(thing.intensity)
                part = frame[rows, cols]
                part += cover[:, :, None] * (paint - part)
    return np.round(frames * 255.0).astype(np.uint8)


def render_intensity(scene: Scene, times: npt.NDArray[np.float64]) -> FloatArray:
    """What the event sensor sees at `times`.

    The mean of RGB before rounding, float32 in [0, 1], [T, 80, 80].
    """
    empty = _background(scene)
    frames: FloatArray = np.repeat(empty[None], len(times), axis=0)
    for frame, time in zip(frames, times, strict=True):
        for thing in scene.things:
            if thing.visible(float(time)):
                rows, cols, cover = _cover(thing, float(time))
                part = frame[rows, cols]
                part += cover * (np.float32(thing.intensity) - part)
    return frames


def _background(scene: Scene) -> FloatArray:
    across, down = scene.gradient
    ramp = across * (_GRID_X / SENSOR - 0.5) + down * (_GRID_Y / SENSOR - 0.5)
    shade: FloatArray = (scene.background + ramp).astype(np.float32)
    return shade


def _cover(thing: Thing, time: float) -> tuple[slice, slice, FloatArray]:
    """The window around the thing, and how much of each pixel in it the thing covers (anti-aliased)."""
    x, y = thing.at(time)
    reach = thing.radius * 1.3 + 1.0
    rows = slice(max(0, int(y - reach)), min(SENSOR, int(y + reach) + 1))
    cols = slice(max(0, int(x - reach)), min(SENSOR, int(x + reach) + 1))
    distance = _distance(thing.shape, _GRID_X[rows, cols] - x, _GRID_Y[rows, cols] - y, thing.radius)
    cover: FloatArray = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    return rows, cols, cover


def _distance(shape: str, dx: FloatArray, dy: FloatArray, radius: float) -> FloatArray:
    """Signed distance to the outline in pixels, negative inside. Shapes of one size have similar areas."""
    if shape == "circle":
        outside = np.hypot(dx, dy) - radius
    elif shape == "square":
        outside = np.maximum(np.abs(dx), np.abs(dy)) - 0.84 * radius
    elif shape == "triangle":
        drop = dy - 0.1 * radius
        outside = np.maximum(drop - 0.75 * radius, 0.5 * _ROOT3 * np.abs(dx) - 0.5 * drop - 0.65 * radius)
    else:  # cross
        across, along = np.abs(dx), np.abs(dy)
        arm, width = 1.08 * radius, 0.36 * radius
        outside = np.minimum(np.maximum(across - arm, along - width), np.maximum(across - width, along - arm))
    return outside.astype(np.float32)
