"""How long an edge's drafts are: by the simple heuristic, or by the edge's controller and what it has learnt."""

from __future__ import annotations

from benchmarks.simulation.modes import Mode
from common.types import Pace
from edge.controller import Controller, DraftLength, Experience

_LOOK_EVERY_S = 1.0


class Knowledge:
    """What an edge has learnt from its answers.

    Edges may share it: they then learn together, and look at their plan once a virtual second instead of several times
    an answer. The law's forecasts, which a thousand edges would make at the same time, are left to one core here.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._experience = Experience()
        self._shared = shared
        self._looked_at = -_LOOK_EVERY_S

    def drafting(self, mode: Mode, max_ahead: int) -> tuple[DraftLength, Pace]:
        """The draft lengths of a new answer, and its pace."""
        if not mode.controller:
            return DraftLength(mode.draft_length), mode.pace or Pace.EAGER
        pace = self._experience.pace(mode.pace)
        if self._shared and not mode.draft_length:
            known = self._experience
            return _Following(known.estimates, known.advice, max_ahead, mode.patience_ms / 1e3, mode.pace), pace
        return self._experience.drafts(mode.draft_length, mode.pace, mode.patience_ms, max_ahead), pace

    def answered(self, drafts: DraftLength, now: float) -> None:
        """An answer has ended: what it taught serves the next."""
        if self._shared and now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        drafts.reflect()


class _Following(Controller):
    """Follows the shared advice; looks at nothing by itself within an answer."""

    def reconsider(self) -> None:
        self._take(self._advised)
