"""N-ImageNet's recordings: a `.npz` file with one structured array `event_data` of x, y, t, p."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import EventFormatError
from edge.events.npy_header import read_npy_header
from edge.events.reading import DEFAULT_SENSOR, Request, check_count, check_sensor, dtype_words, events_from_columns

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from edge.events.types import Events

_KEY, _SENSOR_KEY = "event_data", "sensor"
_RECORD = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "?")])
_MAX_ITEM = 32  # bytes of one event
_MAX_RATIO = 100  # of unpacked to packed size; events pack 3 to 20 times


def read(path: Path, request: Request) -> Events:
    """Read a recording. The sensor is 640x480 if neither the file nor the caller names one.

    Nothing is unpickled, and no more is decompressed than the array's header declares and the bounds allow.

    Raises:
        EventFormatError: anything that isn't such a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = _member(archive, _KEY)
            sensor = request.sensor or _own_sensor(archive)
    except EventFormatError:
        raise
    except Exception as error:  # zipfile and zlib meet damage with errors of many kinds, UnicodeDecodeError among them
        raise EventFormatError("the archive is truncated or damaged; copy the file again") from error
    if records.dtype.names is None:
        raise EventFormatError(
            f"'{_KEY}' holds {dtype_words(records.dtype)}; a structured array of x, y, t, p is needed"
        )
    columns = {name: records[name] for name in records.dtype.names}
    return request.cut(events_from_columns(columns, sensor))


def write(file: BinaryIO, events: Events) -> None:
    """Write N-ImageNet's array, and a second one, `sensor`, with width and height."""
    records = np.empty(len(events), dtype=_RECORD)
    for name in ("x", "y", "t", "p"):
        records[name] = getattr(events, name)
    np.savez_compressed(file, event_data=records, sensor=np.array([events.width, events.height]))


def _own_sensor(archive: zipfile.ZipFile) -> tuple[int, int]:
    if f"{_SENSOR_KEY}.npy" not in archive.namelist():
        return DEFAULT_SENSOR
    sensor = _member(archive, _SENSOR_KEY)
    if sensor.shape != (2,) or sensor.dtype.kind not in "iu":
        raise EventFormatError(f"'{_SENSOR_KEY}' must be [width, height]; copy the file again")
    return check_sensor(int(sensor[0]), int(sensor[1]))


def _member(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    """One array of the archive, 1-dimensional, read after its declared size has been checked."""
    if f"{key}.npy" not in archive.namelist():
        raise EventFormatError(f"array '{key}' is missing; this is not an N-ImageNet file")
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > _MAX_RATIO * info.compress_size + 65_536:
        raise EventFormatError(f"'{key}' would unpack to {info.file_size:,} bytes: a zip bomb; refused")
    with archive.open(info) as file:
        shape, dtype = read_npy_header(file)
        _check(key, shape, dtype)
        size = shape[0] * dtype.itemsize
        contents = file.read(size)
    if len(contents) != size:
        raise EventFormatError(f"'{key}' ends after {len(contents):,} of {size:,} bytes; copy the file again")
    return np.frombuffer(contents, dtype=dtype)


def _check(key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise EventFormatError(f"'{key}' holds Python objects, which can run code; refused, nothing was run")
    if len(shape) != 1 or not 0 < dtype.itemsize <= _MAX_ITEM:
        raise EventFormatError(
            f"'{key}' holds {dtype_words(dtype)} in {len(shape)} dimensions; one record an event is needed"
        )
    check_count(shape[0])
