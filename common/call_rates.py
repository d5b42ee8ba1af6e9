"""How many calls a principal begins: beginning and resetting calls without end costs others much. Pure."""

from __future__ import annotations

from common.allowance import Allowance

_BURST_S = 4.0
_KEPT = 4_096  # principals that something is remembered of


class CallRates:
    """Calls a second by principal, at most `per_s` of each in the long run."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._of: dict[str, Allowance] = {}

    def over(self, principal: str, now: float) -> bool:
        """Whether a call that begins is one too many of its principal; those aren't counted, so it may stop at once."""
        allowance = self._of.get(principal)
        if allowance is None:
            self._forget(now)
            allowance = self._of[principal] = Allowance(self._per_s, _BURST_S * self._per_s)
        if allowance.take(0.0, now) > 0:
            return True
        allowance.take(1.0, now)
        return False

    def _forget(self, now: float) -> None:
        if len(self._of) >= _KEPT:
            self._of = {name: allowance for name, allowance in self._of.items() if not allowance.full(now)}
