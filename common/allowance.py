"""A rate with a burst, as a token bucket. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Allowance:
    """A token bucket: `rate` a second, at most `burst` at once. What was taken too much has to be waited for."""

    rate: float
    burst: float
    _left: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._left = self.burst

    def take(self, amount: float, now: float) -> float:
        """Take it; returns the seconds to wait before more is read."""
        self._left = min(self.burst, self._left + (now - self._at) * self.rate) - amount
        self._at = now
        return max(0.0, -self._left / self.rate)

    def full(self, now: float) -> bool:
        """True if nothing is remembered of the past."""
        return self._left + (now - self._at) * self.rate >= self.burst
