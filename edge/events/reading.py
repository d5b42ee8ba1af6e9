"""What all readers share: the window asked for, the bounds, and the way from a file's columns to `Events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError
from edge.events.types import MAX_SENSOR_SIDE, Events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_EVENTS = 100_000_000  # in memory at once: 1.3 GB, or 7 s of a busy street
DEFAULT_SENSOR = (640, 480)  # of DSEC, EventGPT and N-ImageNet, whose files don't name it
_COLUMNS: dict[str, type[np.integer[Any]]] = {"x": np.uint16, "y": np.uint16, "t": np.int64, "p": np.uint8}


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader is asked for.

    Attributes:
        start_us: begin of the window, relative to the recording's begin.
        duration_us: length of the window; None for all the rest.
        sensor: (width, height), overriding what the file says or doesn't say.
        max_events: how many a window may have.
    """

    start_us: int = 0
    duration_us: int | None = None
    sensor: tuple[int, int] | None = None
    max_events: int = MAX_EVENTS

    def __post_init__(self) -> None:
        if not 0 <= self.start_us < 2**62:
            raise EventFormatError(f"a window can't start at {self.start_us} us; start at 0 or later")
        if self.duration_us is not None and not 0 < self.duration_us < 2**62:
            raise EventFormatError(f"a window of {self.duration_us} us is empty; give a positive duration")

    @property
    def whole(self) -> bool:
        """True if the whole recording is asked for."""
        return self.start_us == 0 and self.duration_us is None

    def bounds(self, origin_us: int) -> tuple[int, int]:
        """The window [begin, end) on a clock on which the recording begins at `origin_us`."""
        begin = origin_us + self.start_us
        return begin, 2**63 - 1 if self.duration_us is None else begin + self.duration_us

    def cut(self, events: Events) -> Events:
        """The window of a recording that begins with its first event.

        Raises:
            EventFormatError: there is nothing in it.
        """
        if len(events) == 0:
            raise EventFormatError("the recording holds no events; record again, or choose another file")
        if self.whole:
            return events
        begin, end = self.bounds(int(events.t[0]))
        return self.check(events.window(begin, end - begin))

    def check(self, window: Events) -> Events:
        """`window` itself, unless it is empty."""
        if len(window) > 0:
            return window
        end = "its end" if self.duration_us is None else f"{self.start_us + self.duration_us:,} us"
        raise EventFormatError(
            f"there are no events from {self.start_us:,} us to {end}: choose a window inside the recording "
            "(`eventspec-edge events info` tells its length)"
        )


def dtype_words(dtype: np.dtype[Any]) -> str:
    """What a dtype is, for messages: names that a file gave to its fields aren't part of it."""
    if dtype.names is not None or dtype.subdtype is not None:
        return "records"
    return (
        dtype.name if dtype.kind in "biufcmM" else {"O": "objects", "U": "text", "S": "text"}.get(dtype.kind, "bytes")
    )


def check_sensor(width: int, height: int) -> tuple[int, int]:
    """(width, height) as a file names it. Raises EventFormatError if no sensor is like that."""
    if not (0 < width <= MAX_SENSOR_SIDE and 0 < height <= MAX_SENSOR_SIDE):
        raise EventFormatError(f"the file names a sensor that can't be; sides are 1 to {MAX_SENSOR_SIDE:,}")
    return width, height


def check_count(count: int, most: int = MAX_EVENTS) -> None:
    """Refuse more events than fit in memory.

    Raises:
        EventFormatError: more than `most`.
    """
    if count > most:
        raise EventFormatError(
            f"{count:,} events are more than the {most:,} that can be held at once; "
            "choose a shorter window (start_us, duration_us)"
        )


def events_from_columns(columns: Mapping[str, Any], sensor: tuple[int, int]) -> Events:
    """Events from a file's columns x, y, t, p of any integer dtypes, checked before they are cast.

    Raises:
        EventFormatError: a column is missing or isn't a list of integers in range, or `Events` refuses them.
    """
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise EventFormatError(f"column '{missing[0]}' is missing; events need x, y, t and p")
    for name in _COLUMNS:
        _check_column(name, columns[name])
    lengths = {name: len(columns[name]) for name in _COLUMNS}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {count:,}" for name, count in lengths.items())
        raise EventFormatError(f"the columns have different lengths ({shown}); the file is damaged")
    check_count(lengths["t"])
    width, height = sensor
    return Events(
        _cast("x", columns["x"], np.uint16),
        _cast("y", columns["y"], np.uint16),
        _cast("t", columns["t"], np.int64),
        _cast("p", columns["p"], np.uint8),
        width,
        height,
    )


def _check_column(name: str, column: Any) -> None:
    if not isinstance(column, np.ndarray):
        raise EventFormatError(f"column '{name}' is a {type(column).__name__}, not an array; write numpy arrays")
    if column.ndim != 1:
        raise EventFormatError(f"column '{name}' has shape {list(column.shape)}; one value per event is needed")
    if column.dtype.kind not in "iub":
        unit = " of microseconds" if name == "t" else ""
        raise EventFormatError(f"column '{name}' holds {dtype_words(column.dtype)}; convert it to integers{unit}")


def _cast(name: str, column: NDArray[Any], dtype: type[np.integer[Any]]) -> NDArray[Any]:
    if column.dtype != dtype and len(column) > 0 and column.dtype.kind != "b":
        low, high = int(column.min()), int(column.max())
        limits = np.iinfo(dtype)
        if low < limits.min or high > limits.max:
            raise EventFormatError(
                f"column '{name}' has values outside {limits.min} to {limits.max:,}; "
                "the file is damaged, or not of this format"
            )
    return np.ascontiguousarray(column, dtype=dtype)
