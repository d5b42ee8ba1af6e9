"""How long an edge's drafts are: by the simple heuristic, or by the edge's controller and what it has learnt."""

from __future__ import annotations

from benchmarks.simulation.modes import Mode
from common.types import Pace
from edge.controller import DraftLength, Experience


class Knowledge:
    """What an edge has learnt from its answers; edges may share an experience."""

    def __init__(self, experience: Experience | None = None) -> None:
        self._experience = experience or Experience()

    def drafting(self, mode: Mode, max_ahead: int) -> tuple[DraftLength, Pace]:
        """The draft lengths of a new answer, and its pace."""
        if not mode.controller:
            return DraftLength(mode.draft_length), mode.pace or Pace.EAGER
        length = self._experience.drafts(mode.draft_length, mode.pace, mode.patience_ms, max_ahead)
        return length, self._experience.pace(mode.pace)

    def answered(self, drafts: DraftLength) -> None:
        """An answer has ended: what it taught serves the next."""
        drafts.reflect()
