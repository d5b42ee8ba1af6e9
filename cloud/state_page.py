"""What the engine process is doing, on a page that the front reads too: an engine that hangs can't say so itself.

The engine counts: the count is odd while it works and even while it waits, and every turn of its loop moves it. The
page also names the sessions that are worked on, and says how many are held. The front believes no more of it than it
must: every number is held to its range, and time is told by the front's own clock (`cloud/pulse.py`).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloud.page_file import PageFile

_HEAD = struct.Struct("<QIIII")  # the count, sessions, parked, clips, bytes of the names
_SIZE = 16_384
_LONGEST_NAME = 64  # of a session or clip, as the codec lets it in; each name is a byte of length, and ASCII


@dataclass(frozen=True, slots=True)
class Held:
    """What the engine holds: sessions (parked ones and clips included), and how many of them are which."""

    sessions: int = 0
    parked: int = 0
    clips: int = 0


class StatePage:
    """The engine's end."""

    def __init__(self, path: Path) -> None:
        """Map the page, which the front's `StateReader` has made."""
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _SIZE)
        self._count = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One turn of the loop; `on` says for whom. An error that leaves it ends the engine, and its names stay."""
        self._move()
        yield
        self.on(())
        self._move()

    def on(self, session_ids: Sequence[str]) -> None:
        """The sessions that are being worked on from now on; as many of them as the page holds."""
        names = b""
        for name in session_ids:
            coded = name.encode("ascii", "replace")[:_LONGEST_NAME]
            if len(names) + len(coded) < _SIZE - _HEAD.size:
                names += bytes((len(coded),)) + coded
        self._page[_HEAD.size : _HEAD.size + len(names)] = names
        struct.pack_into("<I", self._page, _HEAD.size - 4, len(names))

    def hold(self, held: Held) -> None:
        """What the engine holds now."""
        struct.pack_into("<III", self._page, 8, held.sessions, held.parked, held.clips)

    def _move(self) -> None:
        self._count += 1
        struct.pack_into("<Q", self._page, 0, self._count)


class StateReader:
    """The front's end. Whatever stands on the page, reading it raises nothing."""

    def __init__(self, path: Path) -> None:
        """Make the page: idle, holding nothing."""
        self._page = PageFile(path, _SIZE)

    def count(self) -> int:
        """How often the engine began or ended a turn: odd while it works."""
        return int(self._head()[0])

    def working_on(self) -> list[str]:
        """The sessions that are being worked on."""
        left = self._page.read(at=_HEAD.size)[: self._head()[4]]
        names = []
        while left and 0 < left[0] <= _LONGEST_NAME:
            names.append(left[1 : 1 + left[0]].decode("ascii", "replace"))
            left = left[1 + left[0] :]
        return names

    def held(self, most: int) -> Held:
        """What the engine holds, of so many sessions at most."""
        sessions, parked, clips = (min(number, most) for number in self._head()[1:4])
        return Held(sessions, min(parked, sessions), min(clips, sessions))

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()

    def _head(self) -> tuple[int, ...]:
        return _HEAD.unpack(self._page.read(_HEAD.size))
