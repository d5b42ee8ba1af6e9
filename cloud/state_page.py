"""What the engine process is doing, on a page of memory that the front reads too: a step that hangs can't say so.

Times are CLOCK_MONOTONIC, which both processes share. The page says since when the engine has been at work without a
pause, on which sessions, and how many it holds.
"""

from __future__ import annotations

import json
import mmap
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("<dIIII")  # busy since (0: idle), sessions, parked, clips, bytes of the names
_SIZE = 16_384


@dataclass(frozen=True, slots=True)
class Held:
    """What the engine holds: sessions (parked ones and clips included), and how many of them are which."""

    sessions: int = 0
    parked: int = 0
    clips: int = 0


class StatePage:
    """A page in a file; the engine process writes, the front reads."""

    def __init__(self, path: Path) -> None:
        """Map the page, which `create` has made."""
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _SIZE)

    @classmethod
    def create(cls, path: Path) -> StatePage:
        """A new page: idle, holding nothing."""
        path.write_bytes(bytes(_SIZE))
        return cls(path)

    # ------------------------------------------------------------------------------------------------- writing

    @contextmanager
    def work(self) -> Iterator[None]:
        """Something is being done; `on` says for whom."""
        self._set_busy(time.monotonic())
        try:
            yield
        finally:
            self._set_busy(0.0)
            self.on(())

    def on(self, session_ids: Sequence[str]) -> None:
        """The sessions that are being worked on from now on; the time begins anew."""
        names = json.dumps(list(session_ids)).encode() if session_ids else b""
        if len(names) > _SIZE - _HEAD.size:
            names = b""
        self._page[_HEAD.size : _HEAD.size + len(names)] = names
        struct.pack_into("<I", self._page, _HEAD.size - 4, len(names))

    def hold(self, held: Held) -> None:
        """What the engine holds now."""
        struct.pack_into("<III", self._page, 8, held.sessions, held.parked, held.clips)

    def _set_busy(self, since: float) -> None:
        struct.pack_into("<d", self._page, 0, since)

    # ------------------------------------------------------------------------------------------------- reading

    def busy_since(self) -> float:
        """Since when it has been at work; 0 while it is idle."""
        since: float = _HEAD.unpack_from(self._page)[0]
        return since

    def working_on(self) -> list[str]:
        """The sessions that are being worked on."""
        length = _HEAD.unpack_from(self._page)[4]
        try:
            names = json.loads(self._page[_HEAD.size : _HEAD.size + length] or b"[]")
        except ValueError:  # it was being written when the engine died
            return []
        return [str(name) for name in names]

    def held(self) -> Held:
        """What the engine holds."""
        return Held(*_HEAD.unpack_from(self._page)[1:4])

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()
