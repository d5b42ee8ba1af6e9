"""Prophesee's `.raw` recordings: a text header, then EVT2 or EVT3 words.

EVT2 is decoded here, EVT3 by the package `evt3` (extra `prophesee`). Source: Prophesee's format
documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.errors import EventFormatError
from edge.events.reading import Request, check_count, check_sensor, events_from_columns
from edge.events.types import check_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from edge.events.types import Events

_MAX_HEADER = 65_536
_BLOCK = 4 * 2**20  # bytes decoded at a time
_TIME_HIGH, _TRIGGER, _OTHERS, _CONTINUED = (
    0x8,
    0xA,
    0xE,
    0xF,
)  # EVT2 word types beside 0 (darker) and 1 (brighter)
_EVT2_TYPES = (0, 1, _TIME_HIGH, _TRIGGER, _OTHERS, _CONTINUED)
_EVT2_SIDE = 2048  # coordinates have 11 bits


class _Columns(NamedTuple):
    x: NDArray[Any]
    y: NDArray[Any]
    t: NDArray[np.int64]
    p: NDArray[Any]

    def between(self, begin_us: int, end_us: int) -> _Columns:
        """The events with begin_us <= t < end_us; all of them must be sorted."""
        check_order(self.t)
        inside = (self.t >= begin_us) & (self.t < end_us)
        return _Columns(self.x[inside], self.y[inside], self.t[inside], self.p[inside])


@dataclass(frozen=True, slots=True)
class _Header:
    encoding: str
    sensor: tuple[int, int] | None
    size: int


def encoding(path: Path) -> str:
    """What the header says: "EVT2", "EVT3" or another of the vendor's encodings."""
    with path.open("rb") as file:
        return _read_header(file).encoding


def read(path: Path, request: Request) -> Events:
    """Read a recording, or a window of it, block by block. The sensor is the header's, or the caller's.

    Raises:
        EventFormatError: another encoding, a missing extra, a damaged file, an empty window.
    """
    with path.open("rb") as file:
        header = _read_header(file)
        sensor = request.sensor or header.sensor
        if sensor is None:
            raise EventFormatError("the header names no sensor size; give it (sensor=(width, height))")
        check_sensor(*sensor)
        file.seek(header.size)
        if header.encoding == "EVT2":
            blocks = _decode_evt2(file)
        elif header.encoding == "EVT3":
            blocks = _decode_evt3(file, sensor)
        else:
            raise EventFormatError("this encoding of Prophesee's is not supported; convert it to EVT3 or EVT2")
        return _gather(blocks, request, sensor)


def write_evt2(file: BinaryIO, events: Events) -> None:
    """Write EVT2. Times are stored relative to the first event: the format has 34 bits for them.

    Raises:
        EventFormatError: no events, a sensor of more than 2048 pixels a side, or more than 4.7 hours.
    """
    if len(events) == 0 or events.duration_us >= 2**34 or max(events.width, events.height) > _EVT2_SIDE:
        raise EventFormatError("EVT2 holds 1 event to 4.7 hours, of sensors up to 2048x2048; use another format")
    t = events.t - events.t[0]
    high = t >> 6
    fresh = np.ones(len(t), dtype=bool)
    fresh[1:] = high[1:] != high[:-1]
    place = np.arange(len(t)) + np.cumsum(fresh)
    words = np.empty(len(t) + int(fresh.sum()), dtype="<u4")
    words[place] = (events.p.astype(np.int64) << 28) | ((t & 63) << 22) | (events.x.astype(np.int64) << 11) | events.y
    words[place[fresh] - 1] = (_TIME_HIGH << 28) | high[fresh]
    geometry = f"width={events.width};height={events.height}"
    file.write(f"% evt 2.0\n% format EVT2;{geometry}\n% geometry {events.width}x{events.height}\n% end\n".encode())
    file.write(words.tobytes())


def _read_header(file: BinaryIO) -> _Header:
    """Lines that begin with "% ", up to "% end" if there is one."""
    start = file.read(_MAX_HEADER)
    size = 0
    while start[size : size + 2] == b"% " and (newline := start.find(b"\n", size)) >= 0:
        line, size = start[size:newline].strip(), newline + 1
        if line == b"% end":
            break
    text = start[:size].decode("ascii", errors="replace")
    known = re.search(r"^% (?:format|evt) +(?:EVT)?(\d(?:\.\d)?)", text, re.MULTILINE)
    if known is None:
        raise EventFormatError("the header names no encoding (EVT2, EVT3); this is not a Prophesee recording")
    return _Header("EVT" + known[1].removesuffix(".0"), _sensor(text), size)


def _sensor(text: str) -> tuple[int, int] | None:
    """(width, height) as the header's lines name them."""
    if geometry := re.search(r"^% geometry +(\d{1,5})x(\d{1,5})", text, re.MULTILINE):
        return int(geometry[1]), int(geometry[2])
    sides = dict(re.findall(r"[; ](width|height)=(\d{1,5})", text))
    return (int(sides["width"]), int(sides["height"])) if len(sides) == 2 else None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _decode_evt2(file: BinaryIO) -> Iterator[_Columns]:
    """Words of 32 bits: type (4), low time (6), x (11) and y (11), or for TIME_HIGH the upper time (28)."""
    base: int | None = None  # upper bits of time so far, wraps included
    for block in _blocks(file):
        if len(block) % 4:
            raise EventFormatError("the recording ends inside a word: it is truncated; copy the file again")
        words = np.frombuffer(block, dtype="<u4")
        kind = words >> 28
        if not np.isin(kind, _EVT2_TYPES).all():
            raise EventFormatError("there are words of unknown type: the recording is damaged; copy it again")
        marks = np.flatnonzero(kind == _TIME_HIGH)
        highs = _unwrap((words[marks] & 0x0FFF_FFFF).astype(np.int64), base)
        at = np.flatnonzero(kind <= 1)
        mark = np.searchsorted(marks, at) - 1  # the last TIME_HIGH before each event; -1: in an earlier block
        if base is None:
            at, mark = at[mark >= 0], mark[mark >= 0]
        known = np.concatenate([highs, [base or 0]])  # index -1 is the earlier block's
        events = words[at]
        t = (known[mark] << 6) | ((events >> 22) & 0x3F).astype(np.int64)
        yield _Columns((events >> 11) & 0x7FF, events & 0x7FF, t, kind[at])
        base = int(known[len(highs) - 1])


def _unwrap(highs: NDArray[np.int64], base: int | None) -> NDArray[np.int64]:
    """Count on where the 28 bits begin again from zero."""
    if len(highs) == 0:
        return highs
    before = np.concatenate([[highs[0] if base is None else base & 0x0FFF_FFFF], highs[:-1]])
    wraps = np.cumsum(highs - before < -(2**27))
    return highs + (wraps << 28) + (0 if base is None else base & ~0x0FFF_FFFF)


def _decode_evt3(file: BinaryIO, sensor: tuple[int, int]) -> Iterator[_Columns]:
    try:
        import evt3
    except ImportError as error:
        raise EventFormatError('EVT3 recordings need a reader: pip install "eventspec[prophesee]"') from error
    decoder = evt3.Decoder(*sensor)
    try:
        for block in _blocks(file):
            events = decoder.feed(block)
            yield _Columns(events.x, events.y, events.t.astype(np.int64), events.p)
        decoder.finish()
    except (OSError, ValueError, RuntimeError) as error:
        raise EventFormatError("the EVT3 words are truncated or damaged; copy it again") from error


def _gather(blocks: Iterable[_Columns], request: Request, sensor: tuple[int, int]) -> Events:
    """Collect the window's events, and stop reading behind it."""
    filled = (block for block in blocks if len(block.t) > 0)
    block = next(filled, None)
    if block is None:
        raise EventFormatError("the recording holds no events; record again, or choose another file")
    origin = int(block.t[0])
    begin, end = request.bounds(origin)
    kept = [block.between(begin, end)]
    count = len(kept[0].t)
    while int(block.t[-1]) < end and (following := next(filled, None)) is not None:
        block = following
        kept.append(block.between(begin, end))
        count += len(kept[-1].t)
        check_count(count, request.max_events)
    columns = {name: np.concatenate([getattr(part, name) for part in kept]) for name in _Columns._fields}
    return request.check(events_from_columns(columns, sensor))
