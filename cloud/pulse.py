"""Whether an engine still turns, as its front sees it. Pure: time is an argument.

An engine's loop wakes at least twice a second, and each turn moves its count (`cloud/state_page.py`). A count that
stands is a long step while it is odd, and a process that hangs while it is even. The front adds up the time between its
own looks, and no more than a moment for each: where the whole machine stood still, nobody is to blame.
"""

from __future__ import annotations

LOOK_S = 0.25  # between two looks
_MOST_S = 0.5  # that one look adds
_SILENT_S = 2.0


class Pulse:
    """Of one engine process, from `now` on."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._count = 0
        self.stood_s = 0.0

    def look(self, count: int, now: float) -> None:
        """Its count, now."""
        passed, self._at = min(now - self._at, _MOST_S), now
        if count == self._count:
            self.stood_s += passed
        else:
            self._count, self.stood_s = count, 0.0

    @property
    def busy(self) -> bool:
        """It is in the middle of a turn."""
        return self._count % 2 == 1

    @property
    def silent(self) -> bool:
        """It should have turned long ago, and nothing that it works on keeps it from it."""
        return not self.busy and self.stood_s > _SILENT_S
