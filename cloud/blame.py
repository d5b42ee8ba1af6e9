"""Which sessions were being worked on when the engine died: who was there twice is refused. Pure.

After a death the sessions of that step are suspects: the new engine runs each of them in steps of its own, so that the
next death finds one of them alone. A suspect whose answer goes on is forgiven, a few times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_KEPT = 1024
_SUSPECTS = 256  # the newest of them; each costs its neighbours a step
_IN_A_ROW = 2
_ALTOGETHER = 4


@dataclass(slots=True)
class _Record:
    in_a_row: int = 0
    altogether: int = 0


class Blame:
    """Deaths by session."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def died(self, session_ids: Iterable[str]) -> None:
        """The engine died while it worked on these."""
        for session_id in session_ids:
            record = self._records.pop(session_id, _Record())
            record.in_a_row += 1
            record.altogether += 1
            self._records[session_id] = record
        while len(self._records) > _KEPT:
            del self._records[next(iter(self._records))]

    def progressed(self, session_id: str) -> None:
        """The answer goes on: it isn't what kills the engine, or not always."""
        record = self._records.get(session_id)
        if record is not None:
            record.in_a_row = 0

    def knows(self, session_id: str) -> bool:
        """Whether the session has been there at a death."""
        return session_id in self._records

    def refused(self, session_id: str) -> bool:
        """Whether it has been there too often."""
        record = self._records.get(session_id)
        return record is not None and (record.in_a_row >= _IN_A_ROW or record.altogether >= _ALTOGETHER)

    @property
    def suspects(self) -> list[str]:
        """Sessions that must run alone."""
        return [name for name in self._records if not self.refused(name)][-_SUSPECTS:]
