"""The check that comes with every run: all lossless paradigms gave the same token ids for the same question. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.results import Run
from common.errors import EventSpecError


@dataclass(frozen=True, slots=True)
class Difference:
    """Two lossless runs of one (clip, question, seed) with different answers."""

    clip: str
    question: str
    seed: int
    first: Run
    other: Run

    def __str__(self) -> str:
        place = self._first_difference()
        return (
            f"{self.clip}, {self.question!r}, seed {self.seed}: {self.first.label} (repetition "
            f"{self.first.repetition}) and {self.other.label} (repetition {self.other.repetition}) differ from token "
            f"{place} on:\n  {self.first.label}: {list(self.first.token_ids)}\n"
            f"  {self.other.label}: {list(self.other.token_ids)}"
        )

    def _first_difference(self) -> int:
        pairs = zip(self.first.token_ids, self.other.token_ids, strict=False)
        shorter = min(len(self.first.token_ids), len(self.other.token_ids))
        return next((place for place, (a, b) in enumerate(pairs) if a != b), shorter)


class LosslessError(EventSpecError):
    """Paradigms that must give the target's own tokens didn't: a bug, and no figure of this run counts."""


def differences(runs: Iterable[Run]) -> list[Difference]:
    """Lossless runs whose ids differ from those of the first of their (clip, question, seed, temperature)."""
    firsts: dict[tuple[str, str, int, float], Run] = {}
    found = []
    for run in runs:
        if not run.lossless:
            continue
        first = firsts.setdefault((run.clip, run.question, run.seed, run.temperature), run)
        if list(run.token_ids) != list(first.token_ids):
            found.append(Difference(run.clip, run.question, run.seed, first, run))
    return found


def require_lossless(runs: Iterable[Run]) -> None:
    """Raise LosslessError, naming the differing ids, unless all lossless runs agree."""
    if found := differences(runs):
        more = f"\n... and {len(found) - 1} more" if len(found) > 1 else ""
        raise LosslessError(f"lossless paradigms gave different answers, so no figure counts:\n{found[0]}{more}")
