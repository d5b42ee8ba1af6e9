"""Whether an answer's drafts are the drafter's own ids or its states. Pure.

Both are forecast by the law (`edge/draft_law.py`): states are right more often if their adapter is worth anything, and
cost bytes. The drafter's own ids are compared with every commit, whatever travels; how right states are is heard of
only where they travel. So an answer now and then is drafted with states although ids look better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.draft_law import LONGEST, Circumstances, best_plan, forecast
from edge.estimates import IDS, DraftingEstimates

_ENOUGH = 48.0  # checked tokens, by weight, from which on a form's acceptance is believed
_BETTER = 0.98  # the other form must take so much less time
_PROBE_FIRST, _PROBE_LATER = 8, 64  # answers between two probes; each one that finds nothing doubles it
_LOOK = 4  # answers between two looks at the law, which takes milliseconds
_DRAFT = 5  # tokens of a usual draft: what its last one waits for on the line


@dataclass(frozen=True, slots=True)
class Offer:
    """What states would cost: their form, and bytes of a token on the wire."""

    form: str
    token_bytes: int


class FormChoice:
    """Chooses for each answer; the answers of a daemon share it.

    Attributes:
        states: True while states look better.
    """

    def __init__(self, estimates: DraftingEstimates) -> None:
        self.states = True  # until they are known: they are looked at first
        self._estimates = estimates
        self._answers = 0
        self._since_probe = 0
        self._probe_after = _PROBE_FIRST
        self._refused = False

    def form(self, offer: Offer | None, max_ahead: int = LONGEST) -> str:
        """In which form the next answer's drafts travel."""
        if offer is None:
            return IDS
        self._answers += 1
        if self._refused:
            return self._sometimes(offer)
        if not self._estimates.known or (self._estimates.acceptance(offer.form).weight < _ENOUGH and self.states):
            return offer.form
        if self._answers % _LOOK == 0:
            self._look(offer, max_ahead)
        if self.states:
            self._since_probe, self._probe_after = 0, _PROBE_FIRST
            return offer.form
        return self._sometimes(offer)

    def told(self, offered: str, form: str) -> None:
        """An answer whose drafts were to be `offered` went in `form`: the cloud may not have the adapter."""
        if offered != IDS:
            self._refused = form == IDS

    def _sometimes(self, offer: Offer) -> str:
        self._since_probe += 1
        if self._since_probe < self._probe_after:
            return IDS
        self._since_probe, self._probe_after = 0, min(_PROBE_LATER, 2 * self._probe_after)
        return offer.form

    def _look(self, offer: Offer, max_ahead: int) -> None:
        ids = token_s(self._estimates.circumstances(LONGEST, IDS), max_ahead)
        states = token_s(states_circumstances(self._estimates, offer), max_ahead)
        margin = 1 / _BETTER if self.states else _BETTER
        self.states = states < ids * margin


def states_circumstances(estimates: DraftingEstimates, offer: Offer) -> Circumstances:
    """Circumstances of drafts of states: no faster than the line takes them, and as late as they have been seen."""
    c = estimates.circumstances(LONGEST, offer.form)
    line_s = estimates.byte_s * offer.token_bytes
    trip_s = c.round_trip_s if estimates.travelled(offer.form) else c.round_trip_s + _DRAFT * line_s
    return replace(c, token_s=max(c.token_s, line_s), round_trip_s=trip_s)


def token_s(c: Circumstances, max_ahead: int) -> float:
    """Seconds a token under the best eager plan, or without drafts if that is better."""
    plan = best_plan(c, max_ahead, 0.0)
    return min(forecast(plan, c).cost_s(c), c.alone_s) / c.tokens
