"""Simulate an event camera from pictures: per-pixel memory and log-intensity thresholds.

Every pixel remembers the log intensity of its last event (its reference level). Between two pictures the
log intensity is taken to run in a straight line; each time it has moved by a threshold away from the
reference level, the pixel fires and its reference level moves by that threshold. Source: the model of ESIM
(Rebecq et al., CoRL 2018); the mapping of 8-bit pictures is that of v2e (Hu et al., CVPRW 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge.events.intensity import log_intensity
from edge.events.types import Events, empty_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_MIN_THRESHOLD = 0.01  # a pixel's own threshold never falls below this, however large the mismatch
_SLACK = 1.0 + 1e-6  # keeps whole-microsecond gaps at least the refractory time, whatever floats do


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """How the simulated sensor behaves.

    Attributes:
        threshold_pos: rise of the natural log of intensity that fires a positive event.
        threshold_neg: fall (given as a positive number) that fires a negative event.
        threshold_mismatch: standard deviation of the pixels' own thresholds, as a fraction of the
            threshold; 0 makes all pixels alike.
        refractory_us: a pixel that has fired stays silent for this long. Crossings in that time move its
            reference level but fire nothing.
        noise_hz: background events a second and pixel, of either polarity, on top of the picture's own. They
            neither touch the reference level nor obey the refractory time.
        log_eps: added to linear intensities before the logarithm, so that black is finite.
    """

    threshold_pos: float = 0.2
    threshold_neg: float = 0.2
    threshold_mismatch: float = 0.03
    refractory_us: int = 100
    noise_hz: float = 0.1
    log_eps: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("threshold_pos", "threshold_neg"):
            if not _MIN_THRESHOLD <= getattr(self, name) <= 10.0:
                raise ValueError(f"{name} must be between {_MIN_THRESHOLD} and 10, not {getattr(self, name)}")
        if not 0.0 <= self.threshold_mismatch <= 1.0:
            raise ValueError(f"threshold_mismatch must be between 0 and 1, not {self.threshold_mismatch}")
        if not 0 <= self.refractory_us <= 10**9:
            raise ValueError(f"refractory_us must be between 0 and 1e9 microseconds, not {self.refractory_us}")
        if not 0.0 <= self.noise_hz <= 1e5:
            raise ValueError(f"noise_hz must be between 0 and 1e5 a second, not {self.noise_hz}")
        if not 0.0 < self.log_eps <= 1.0:
            raise ValueError(f"log_eps must be in (0, 1], not {self.log_eps}")


class _Chunk(NamedTuple):
    """Events between two pictures: flat pixel index, time and polarity, sorted by time."""

    pixel: NDArray[np.intp]
    t: NDArray[np.int64]
    p: NDArray[np.uint8]


class EventSimulator:
    """A simulated sensor that is shown one picture after another.

    The first picture sets the reference levels and fires nothing. Equal settings, seed and pictures give
    equal events.
    """

    def __init__(self, width: int, height: int, *, settings: SimulatorSettings | None = None, seed: int = 0) -> None:
        """A sensor of `width` x `height` pixels."""
        self.width, self.height = width, height
        self.settings = SimulatorSettings() if settings is None else settings
        self._random = np.random.default_rng(seed)
        self._rise = self._thresholds(self.settings.threshold_pos)
        self._fall = self._thresholds(self.settings.threshold_neg)
        self._minus_fall = -self._fall
        self._last_event = np.full(width * height, -(2**62), dtype=np.int64)
        self._reference: NDArray[np.float32] | None = None
        self._level = np.empty(0, dtype=np.float32)
        self._t = 0

    def push(self, frame: NDArray[Any], t_us: int) -> Events:
        """Show a picture at `t_us` microseconds; returns the events since the previous one, sorted by time.

        Args:
            frame: linear intensity, float [H, W] or [H, W, 3] in [0, 1]; or 8-bit grey [H, W] or RGB
                [H, W, 3]. `edge.events.intensity.log_intensity` says how each becomes log intensity.
            t_us: later than the previous picture's time.

        Raises:
            ValueError: a picture of another size or dtype, or a time that is not later than the last.
        """
        if frame.shape[:2] != (self.height, self.width):
            raise ValueError(f"expected a picture of [{self.height}, {self.width}], not {list(frame.shape)}")
        level = log_intensity(frame, self.settings.log_eps, colour=frame.ndim == 3)
        chunk = self._step(level.reshape(-1), t_us)
        return empty_events(self.width, self.height) if chunk is None else self._events([chunk])

    def run(self, frames: NDArray[Any], times_us: Sequence[int] | NDArray[Any]) -> Events:
        """`push` each of `frames` [T, ...] at `times_us` [T]; all events together. Cheaper than pushing."""
        if len(frames) != len(times_us):
            raise ValueError(f"{len(frames)} pictures need as many times, not {len(times_us)}")
        if frames.shape[1:3] != (self.height, self.width):
            raise ValueError(f"expected pictures of [{self.height}, {self.width}], not {list(frames.shape[1:3])}")
        levels = log_intensity(frames, self.settings.log_eps, colour=frames.ndim == 4).reshape(len(frames), -1)
        chunks = (self._step(level, int(t)) for level, t in zip(levels, times_us, strict=True))
        return self._events(chunk for chunk in chunks if chunk is not None)

    def _thresholds(self, mean: float) -> NDArray[np.float32]:
        spread = self._random.standard_normal(self.width * self.height, dtype=np.float32)
        own = np.float32(mean) * (1 + np.float32(self.settings.threshold_mismatch) * spread)
        thresholds: NDArray[np.float32] = np.maximum(own, np.float32(_MIN_THRESHOLD))
        return thresholds

    def _events(self, chunks: Iterable[_Chunk]) -> Events:
        parts = list(chunks)
        if not parts:
            return empty_events(self.width, self.height)
        pixel, t, p = _concatenate(parts)
        y, x = np.divmod(pixel.astype(np.uint32), np.uint32(self.width))
        return Events(x.astype(np.uint16), y.astype(np.uint16), t, p, self.width, self.height)

    def _step(self, level: NDArray[np.float32], t_us: int) -> _Chunk | None:
        """Log intensities [H*W] at a new time; None for the first."""
        if self._reference is None:
            self._reference, self._level, self._t = level.copy(), level, t_us
            return None
        if t_us <= self._t:
            raise ValueError(f"pictures must come in order of time: {t_us} us after {self._t} us")
        change = level - self._reference
        active = np.flatnonzero((change >= self._rise) | (change <= self._minus_fall))
        chunk = self._fire(active, change[active], level, self._reference, t_us)
        if self.settings.noise_hz > 0:
            chunk = _concatenate([chunk, self._noise(t_us)])
        chunk = _by_time(chunk, self._t, t_us)
        self._level, self._t = level, t_us
        return chunk

    def _fire(
        self,
        pixel: NDArray[np.intp],
        change: NDArray[np.float32],
        level: NDArray[np.float32],
        reference: NDArray[np.float32],
        t_us: int,
    ) -> _Chunk:
        """Events of the `pixel`s [n] that crossed a threshold at least once; moves their reference levels."""
        up = change > 0
        threshold = np.where(up, self._rise[pixel], self._minus_fall[pixel])
        count = (change / threshold).astype(np.int32)
        before = self._level[pixel]
        offset = reference[pixel] + threshold - before
        reference[pixel] += count * threshold
        duration = float(t_us - self._t)
        per_level = duration / _slope(level[pixel] - before, up)  # microseconds a unit of log intensity
        first = np.clip(per_level * offset, 0.0, duration)
        gap = per_level * threshold
        skip, stride = self._silenced(pixel, first, gap)
        fired = np.maximum(count - skip + stride - 1, 0) // stride
        owner = np.repeat(np.arange(len(pixel)), fired)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(fired) - fired, fired)
        time = first[owner] + (skip[owner] + nth * stride[owner]) * gap[owner]
        t = np.minimum(time, duration).astype(np.int64) + self._t
        ends = np.cumsum(fired)[fired > 0] - 1
        self._last_event[pixel[fired > 0]] = t[ends]
        return _Chunk(pixel[owner], t, up[owner].astype(np.uint8))

    def _silenced(
        self, pixel: NDArray[np.intp], first: NDArray[np.float64], gap: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Crossings to skip before the first that fires, and crossings from one that fires to the next.

        A pixel's crossings between two pictures are evenly spaced, so the refractory time has a closed form.
        """
        wait = (self._last_event[pixel] + self.settings.refractory_us - self._t) - first
        skip = np.ceil(np.maximum(wait, 0.0) / gap * _SLACK)
        stride = np.maximum(np.ceil(self.settings.refractory_us / gap * _SLACK), 1.0)
        return skip.astype(np.int64), stride.astype(np.int64)

    def _noise(self, t_us: int) -> _Chunk:
        duration = t_us - self._t
        pixels = self.width * self.height
        count = int(self._random.poisson(self.settings.noise_hz * duration * 1e-6 * pixels))
        t = self._random.integers(self._t, t_us, size=count, dtype=np.int64)
        polarity = self._random.integers(0, 2, size=count, dtype=np.uint8)
        return _Chunk(self._random.integers(0, pixels, size=count, dtype=np.intp), t, polarity)


def simulate_events(
    frames: NDArray[Any],
    times_us: Sequence[int] | NDArray[Any],
    *,
    settings: SimulatorSettings | None = None,
    seed: int = 0,
) -> Events:
    """Events that a simulated sensor fires while it is shown `frames`.

    Args:
        frames: linear intensity in [0, 1], float [T, H, W] or [T, H, W, 3]; or 8-bit grey [T, H, W] or RGB
            [T, H, W, 3].
        times_us: [T] increasing times in microseconds; the events' times are on the same clock.
        settings: the sensor; `SimulatorSettings()` if not given.
        seed: of threshold mismatch and noise.

    Raises:
        ValueError: shapes, dtypes or times that don't fit.
    """
    if frames.ndim not in (3, 4):
        raise ValueError(f"frames must be [T, H, W] or [T, H, W, 3], not {list(frames.shape)}")
    height, width = frames.shape[1:3]
    return EventSimulator(width, height, settings=settings, seed=seed).run(frames, times_us)


def _slope(change: NDArray[np.float32], up: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Change of log intensity since the last picture, kept away from zero and on the side of the crossing.

    Rounding can leave a still pixel at its threshold; its event then falls on the earlier picture.
    """
    size = np.maximum(np.where(up, change, -change), 1e-6).astype(np.float64)
    return np.where(up, size, -size)


def _concatenate(chunks: list[_Chunk]) -> _Chunk:
    return _Chunk(
        np.concatenate([chunk.pixel for chunk in chunks]),
        np.concatenate([chunk.t for chunk in chunks]),
        np.concatenate([chunk.p for chunk in chunks]),
    )


def _by_time(chunk: _Chunk, start_us: int, end_us: int) -> _Chunk:
    """Stable sort by time. Spans under 65.5 ms fit 16 bits, which numpy sorts by radix: faster."""
    key: NDArray[Any] = chunk.t - start_us
    if end_us - start_us < 2**16:
        key = key.astype(np.uint16)
    order = np.argsort(key, kind="stable")
    return _Chunk(chunk.pixel[order], chunk.t[order], chunk.p[order])
