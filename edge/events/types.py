"""The canonical form of events in memory: a structure of arrays, sorted by time, that fits its sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SENSOR_SIDE = 65_536  # coordinates are uint16
_DTYPES: dict[str, type[np.generic]] = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of one recording or window, as four arrays of equal length [n].

    Attributes:
        x: uint16 [n], column, 0 <= x < width.
        y: uint16 [n], row, 0 <= y < height.
        t: int64 [n], time in microseconds, never decreasing.
        p: uint8 [n], polarity: 0 darker, 1 brighter.
        width: columns of the sensor.
        height: rows of the sensor.

    Raises:
        EventFormatError: the arrays break one of these rules. Loaders add the file's name.
    """

    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    t: NDArray[np.int64]
    p: NDArray[np.uint8]
    width: int
    height: int

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            _check_array(name, getattr(self, name), dtype)
        _check_lengths({name: len(getattr(self, name)) for name in _DTYPES})
        _check_sensor(self.width, self.height)
        if len(self.t) > 0:
            check_order(self.t)
            _check_inside(self)
            _check_polarity(self.p)

    def __len__(self) -> int:
        """Number of events."""
        return len(self.t)

    @property
    def duration_us(self) -> int:
        """Microseconds from the first to the last event; 0 if there are fewer than two."""
        return int(self.t[-1]) - int(self.t[0]) if len(self.t) else 0

    def window(self, start_us: int, duration_us: int) -> Events:
        """Events with `start_us <= t < start_us + duration_us`, in the recording's own time; no copy."""
        first, last = np.searchsorted(self.t, [start_us, start_us + duration_us], side="left")
        part = slice(int(first), max(int(first), int(last)))
        return Events(self.x[part], self.y[part], self.t[part], self.p[part], self.width, self.height)


def empty_events(width: int, height: int) -> Events:
    """No events at all, on a sensor of this size."""
    arrays = {name: np.empty(0, dtype) for name, dtype in _DTYPES.items()}
    return Events(arrays["x"], arrays["y"], arrays["t"], arrays["p"], width, height)


def concatenate(chunks: list[Events]) -> Events:
    """Join chunks of one sensor that follow each other in time.

    Raises:
        EventFormatError: no chunks, different sensors, or a chunk begins before its predecessor ends.
    """
    if not chunks:
        raise EventFormatError("there is nothing to join: give at least one chunk of events")
    width, height = chunks[0].width, chunks[0].height
    if any((chunk.width, chunk.height) != (width, height) for chunk in chunks):
        raise EventFormatError("the chunks come from sensors of different sizes; join chunks of one sensor")
    if len(chunks) == 1:
        return chunks[0]
    return Events(
        np.concatenate([chunk.x for chunk in chunks]),
        np.concatenate([chunk.y for chunk in chunks]),
        np.concatenate([chunk.t for chunk in chunks]),
        np.concatenate([chunk.p for chunk in chunks]),
        width,
        height,
    )


def _check_array(name: str, array: Any, dtype: type[np.generic]) -> None:
    if isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == dtype:
        return
    shown = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
    raise EventFormatError(f"'{name}' must be a one-dimensional {np.dtype(dtype)} array, not {shown}")


def _check_lengths(lengths: dict[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {count:,}" for name, count in lengths.items())
        raise EventFormatError(f"the arrays have different lengths ({shown}); each event needs one of each")


def _check_sensor(width: int, height: int) -> None:
    if not (0 < width <= MAX_SENSOR_SIDE and 0 < height <= MAX_SENSOR_SIDE):
        raise EventFormatError(f"no sensor has {width}x{height} pixels; give sides of 1 to {MAX_SENSOR_SIDE:,}")


def check_order(t: NDArray[np.int64]) -> None:
    """Refuse times [n] that ever decrease.

    Raises:
        EventFormatError: naming the first event that does.
    """
    later = t[1:] < t[:-1]
    if later.any():
        at = int(np.argmax(later)) + 1
        raise EventFormatError(
            f"timestamps are not sorted: event {at:,} is earlier than the one before it; sort the recording by time"
        )


def _check_inside(events: Events) -> None:
    if int(events.x.max()) < events.width and int(events.y.max()) < events.height:
        return
    at = int(np.argmax((events.x >= events.width) | (events.y >= events.height)))
    raise EventFormatError(
        f"event {at:,} lies outside the {events.width}x{events.height} sensor; "
        "check the sensor size, or drop such events"
    )


def _check_polarity(p: NDArray[np.uint8]) -> None:
    if int(p.max()) > 1:
        at = int(np.argmax(p > 1))
        raise EventFormatError(f"event {at:,} has another polarity than 0 (darker) and 1 (brighter)")
