"""What one answer teaches of its drafter: each of its tokens is held against what was committed, once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.types import Commit
from edge.estimates import PLACES, DraftingEstimates


@dataclass(slots=True)
class Lessons:
    """The books of one answer; what they come to goes into `estimates`."""

    estimates: DraftingEstimates
    _compared: int = 0  # committed tokens that the drafter's own were held against, or that it was told
    _run_start: int = 0  # behind the last one that it got wrong
    _states_run: int = 0  # the same of what the cloud made of its states

    def compare(self, belief: Sequence[int], committed: Sequence[int]) -> bool:
        """Learn how right the drafter was about what is committed now; False if it was wrong."""
        if belief[: self._compared] != committed[: self._compared]:
            return True  # it is about an answer that is known to be wrong
        for position in range(self._compared, min(len(belief), len(committed))):
            right = belief[position] == committed[position]
            self.estimates.checked_token(position - self._run_start, right)  # of its own ids, travelling or not
            self._compared = position + 1
            if not right:
                self._run_start = position + 1
                return False
        return True

    def told(self, committed: int) -> None:
        """The drafter is told so many committed tokens."""
        self._compared = committed

    def of_states(self, commit: Commit, form: str) -> None:
        """How right the drafts were that the cloud made of states."""
        for offset in range(min(commit.accepted + 1, commit.drafted)):
            position, right = commit.start_position + offset, offset < commit.accepted
            self.estimates.checked_token(max(0, position - self._states_run), right, form)
            self._states_run = self._states_run if right else position + 1

    def rates(self) -> Callable[[int], float]:
        """By answer position, how often the drafter has been right so far behind its last mistake."""
        rates, start = self.estimates.rates(), self._run_start
        return lambda position: rates[min(max(0, position - start), PLACES)]
