"""DSEC's recordings: `events.h5` and the folder of a sequence. Windows are read without reading the file.

Layout (Gehrig et al., DSEC, RA-L 2021): `events/{x, y, t, p}`, `ms_to_idx` with `t[ms_to_idx[ms]] >= ms *
1000`, and `t_offset`, which added to `t` gives the sequence's clock. Files are Blosc-compressed and several
gigabytes large.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError
from edge.events.hdf5 import attribute, check_dataset, column, member
from edge.events.reading import DEFAULT_SENSOR, Request, check_count, check_sensor, events_from_columns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.events.types import Events

_COLUMNS = ("x", "y", "t", "p")
_CHUNK = 32_768


def read(path: Path, request: Request) -> Events:
    """Read a recording, or a window of it. `request.start_us` counts from the file's `t_offset`.

    Only the window's chunks are read. `t` of the result is on the sequence's clock (`t_offset` added). The
    sensor is 640x480 if neither the file nor the caller names one.

    Raises:
        EventFormatError: anything that isn't such a file, or an empty window.
    """
    with open_recording(path) as recording:
        first, last = recording.find(*request.bounds(0))
        check_count(last - first, request.max_events)
        columns = recording.columns(first, last)
        events = events_from_columns(columns, request.sensor or recording.sensor)
        return request.check(events)


class Recording:
    """An open `events.h5`.

    Attributes:
        count: number of events.
        t_offset: microseconds to add to the file's times.
        sensor: (width, height).
    """

    def __init__(self, file: Any) -> None:
        self._data = {name: column(file, f"events/{name}") for name in _COLUMNS}
        self._ms_to_idx = column(file, "ms_to_idx") if member(file, "ms_to_idx") is not None else None
        lengths = {name: data.shape[0] for name, data in self._data.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {count:,}" for name, count in lengths.items())
            raise EventFormatError(f"the columns have different lengths ({shown}); the file is damaged")
        self.count = int(lengths["t"])
        if self.count == 0:
            raise EventFormatError("the recording holds no events; record again, or choose another file")
        self.t_offset = _t_offset(file)
        self.sensor = _own_sensor(file)

    @property
    def first_us(self) -> int:
        """The first event's time, relative to `t_offset`."""
        return int(self._data["t"][0])

    @property
    def last_us(self) -> int:
        """The last event's time, relative to `t_offset`."""
        return int(self._data["t"][self.count - 1])

    def bytes_on_disk(self) -> int:
        """Bytes that the events take in the file, compressed."""
        return sum(int(data.id.get_storage_size()) for data in self._data.values())

    def polarities(self, first: int, last: int) -> NDArray[Any]:
        """Polarities [last - first] as the file holds them."""
        return np.asarray(self._data["p"][first:last])

    def columns(self, first: int, last: int) -> dict[str, NDArray[Any]]:
        """Columns x, y, t, p of events [first, last); t as int64 on the sequence's clock."""
        columns = {name: np.asarray(self._data[name][first:last]) for name in ("x", "y", "p")}
        return columns | {"t": self._times(first, last) + self.t_offset}

    def find(self, begin_us: int, end_us: int) -> tuple[int, int]:
        """Indices [first, last) of the events with begin_us <= t < end_us, relative to `t_offset`."""
        if begin_us <= 0 and end_us > self.last_us:
            return 0, self.count
        if self._ms_to_idx is None:
            return self._search(begin_us), self._search(end_us)
        low = max(self._index_at(begin_us // 1000) - 1, 0)  # one more on each side, to check the index
        high = min(self._index_at(-(-end_us // 1000)) + 1, self.count)
        check_count(high - low)
        t = self._times(low, high)
        first, last = (int(index) for index in np.searchsorted(t, [begin_us, end_us]))
        if (first == 0 and low > 0) or (last == len(t) and high < self.count) or (np.diff(t) < 0).any():
            raise EventFormatError("'ms_to_idx' and 't' disagree; remove 'ms_to_idx', or build it again")
        return low + first, low + last

    def _times(self, first: int, last: int) -> NDArray[np.int64]:
        return np.asarray(self._data["t"][first:last]).astype(np.int64)

    def _index_at(self, ms: int) -> int:
        """The first event at or after a whole millisecond, by the file's own index."""
        if self._ms_to_idx is None or ms >= self._ms_to_idx.shape[0]:
            return self.count
        index = int(self._ms_to_idx[ms])
        if not 0 <= index <= self.count:
            raise EventFormatError("'ms_to_idx' points at an event that isn't there; build it again")
        return index

    def _search(self, time_us: int) -> int:
        """The first event at or after a time, by bisection, a few chunks being read."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if int(self._data["t"][middle]) < time_us:
                low = middle + 1
            else:
                high = middle
        return low


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open `events.h5` for reading.

    Raises:
        EventFormatError: h5py is missing, or the file isn't readable, on opening or later.
    """
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            yield Recording(file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        raise EventFormatError("the HDF5 file is truncated or damaged; copy it again") from error


def write(path: Path, events: Events) -> None:
    """Write `events.h5` with `ms_to_idx`, `t_offset` (the first event's time) and Blosc compression.

    Two attributes of the group `events`, `width` and `height`, name the sensor.

    Raises:
        EventFormatError: h5py is missing, there are no events, or they span more than 71 minutes.
    """
    if len(events) == 0 or events.duration_us >= 2**32:
        raise EventFormatError(f"DSEC files hold up to 4,294 s of events, not {events.duration_us / 1e6:,.0f} s")
    h5py = _h5py()
    import hdf5plugin

    offset = int(events.t[0])
    t = (events.t - offset).astype(np.uint32)
    columns = {"x": events.x, "y": events.y, "t": t, "p": events.p}
    milliseconds = np.arange(events.duration_us // 1000 + 1, dtype=np.int64) * 1000
    with h5py.File(path, "w") as file:
        chunks = (min(_CHUNK, len(events)),)
        for name, column in columns.items():
            file.create_dataset(f"events/{name}", data=column, chunks=chunks, **hdf5plugin.Blosc(cname="zstd"))
        file["events"].attrs.update({"width": events.width, "height": events.height})
        file["ms_to_idx"] = np.searchsorted(events.t - offset, milliseconds).astype(np.uint64)
        file["t_offset"] = np.int64(offset)


def _h5py() -> Any:
    try:
        import h5py
        import hdf5plugin  # noqa: F401  registers the Blosc filter
    except ImportError as error:
        raise EventFormatError('DSEC files need h5py and hdf5plugin: pip install "eventspec[edge]"') from error
    return h5py


def _t_offset(file: Any) -> int:
    """`t_offset` is a scalar, an array of one, or absent (0)."""
    data = member(file, "t_offset")
    if data is None:
        return 0
    check_dataset("t_offset", data)
    if data.size != 1 or data.dtype.kind not in "iu":
        raise EventFormatError("'t_offset' must be one integer of microseconds; write it again")
    offset = int(np.asarray(data[()]).reshape(-1)[0])
    if abs(offset) >= 2**62:
        raise EventFormatError("'t_offset' is absurd; write it again")
    return offset


def _own_sensor(file: Any) -> tuple[int, int]:
    events = member(file, "events")
    width, height = attribute(events, "width"), attribute(events, "height")
    return DEFAULT_SENSOR if width is None or height is None else check_sensor(width, height)
