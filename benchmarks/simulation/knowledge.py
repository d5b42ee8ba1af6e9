"""How long an edge's drafts are: by the simple heuristic, or by the edge's controller and what it has learnt."""

from __future__ import annotations

from typing import Any

from benchmarks.simulation.modes import Mode
from common.types import Pace
from edge.controller import DraftLength


class Knowledge:
    """What one edge has learnt from its answers. The controller is imported only where a mode asks for it."""

    def __init__(self) -> None:
        self._estimates: Any = None
        self._advice: Any = None

    def drafting(self, mode: Mode, max_ahead: int) -> tuple[DraftLength, Pace]:
        """The draft lengths of a new answer, and its pace."""
        if not mode.controller or mode.draft_length:
            return DraftLength(mode.draft_length), mode.pace or Pace.EAGER
        from edge.controller import Advice, Controller
        from edge.estimates import DraftingEstimates

        if self._estimates is None:
            self._estimates, self._advice = DraftingEstimates(), Advice()
        chosen = Controller(self._estimates, self._advice, max_ahead, mode.patience_ms / 1e3, mode.pace)
        return chosen, chosen.pace

    def answered(self, drafts: DraftLength) -> None:
        """An answer has ended: what it taught serves the next."""
        if self._estimates is not None and hasattr(drafts, "reflect"):
            drafts.reflect()
