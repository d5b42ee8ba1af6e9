"""The ways to answer that are simulated."""

from __future__ import annotations

from dataclasses import dataclass

from common.types import Pace


@dataclass(frozen=True, slots=True)
class Mode:
    """How questions are answered, in the words of results.

    A `draft_length` of 0 is adaptive: by the controller if `controller`, else by the simple heuristic. A `pace` of None
    is the controller's choice. `branches`: other words that an idle drafter tries at a place.
    """

    paradigm: str
    mode: str = ""
    drafts: bool = False
    pace: Pace | None = Pace.EAGER
    patience_ms: int = 200
    draft_length: int = 0
    controller: bool = False
    branches: int = 0

    @property
    def label(self) -> str:
        """Paradigm and mode as one word."""
        return f"{self.paradigm}/{self.mode}" if self.mode else self.paradigm


CLOUD_ONLY = Mode("cloud_only")
EAGER = Mode("stream_to_cloud", "tokens-eager", drafts=True)
PATIENT = Mode("stream_to_cloud", "tokens-patient", drafts=True, pace=Pace.PATIENT)
AUTO = Mode("stream_to_cloud", "tokens-auto", drafts=True, pace=None, controller=True)
MODES = {mode.label: mode for mode in (CLOUD_ONLY, EAGER, PATIENT)}
ALL_MODES = {**MODES, AUTO.label: AUTO}
