"""When an engine that died is started again: at once, then with backoff, and at last hardly ever. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_S, _LONGEST_S = 0.1, 10.0
_TOO_MANY = 8  # deaths in a row of engines that did nothing
_FAILED_PAUSE_S = 60.0
_PROVEN_S = 10.0  # an engine that lived for so long, or said anything, has proven itself


@dataclass
class Restarts:
    """Deaths in a row. `failed` is a crash loop: the state in which everything is refused at once.

    An engine that had to be killed for what it said (`condemned`) has proven nothing by what it did before.
    """

    in_a_row: int = 0
    condemned: int = 0

    @property
    def failed(self) -> bool:
        """Whether it is no use to wait for the next engine."""
        return self.in_a_row >= _TOO_MANY

    def died(self, lived_s: float, *, did_something: bool, condemned: bool = False) -> float:
        """An engine died (or didn't even start: `lived_s` 0); seconds until the next is started."""
        if lived_s >= _PROVEN_S:
            self.in_a_row = self.condemned = 0
        if condemned:
            self.in_a_row = max(self.in_a_row, self.condemned)
            self.condemned += 1
        elif did_something:
            self.in_a_row = 0
        self.in_a_row += 1
        if self.failed:
            return _FAILED_PAUSE_S
        return 0.0 if self.in_a_row == 1 else min(_FIRST_S * 2.0 ** (self.in_a_row - 2), _LONGEST_S)

    def worked(self) -> None:
        """The engine has done something."""
        self.in_a_row = 0
