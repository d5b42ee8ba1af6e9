"""How long the next draft is. Pure: learns from commits only.

Adaptive: two more after a fully accepted draft, one less after a mismatch (the heuristic of Hugging Face's assisted
generation, `transformers/generation/candidate_generator.py`).
"""

from __future__ import annotations

from common.types import Commit


class DraftLength:
    """Fixed (`length` > 0) or adaptive (`length` 0) draft length, between 1 and `longest`."""

    def __init__(self, length: int = 0, *, start: int = 4, longest: int = 16) -> None:
        self._adaptive = length == 0
        self._length = start if length == 0 else min(length, longest)
        self._longest = longest

    @property
    def length(self) -> int:
        """Tokens in the next draft."""
        return self._length

    def limit(self, longest: int) -> None:
        """Obey the cloud's limit."""
        self._longest = max(1, min(self._longest, longest))
        self._length = min(self._length, self._longest)

    def learn(self, commit: Commit) -> None:
        """Take one verification into account."""
        if not self._adaptive or commit.drafted == 0:
            return
        step = 2 if commit.accepted == commit.drafted else -1
        self._length = max(1, min(self._longest, self._length + step))
