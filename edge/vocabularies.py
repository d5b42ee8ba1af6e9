"""Which vocabulary an answer is in: the hash of the target's tokenizer, which the cloud tells, decides. No torch.

equal to the drafter's                    ids travel as they are
that of a tokenizer that this edge has    drafts go from one vocabulary to the other (`edge/vocabulary.py`)
any other                                 nobody here could read the answer: an error that says what to do

A tokenizer is never fetched: it is a folder that the user names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from common.errors import EventSpecError, MismatchError
from common.tokenizer import Tokenizer
from common.types import ServerInfo
from common.vocabulary import Spelling
from edge.vocabulary import CrossVocabulary, Way

OWN = "own"
"""In reports: the answer's ids are the drafter's own, and no target has seen them."""
SHARED = "shared"
"""In reports: drafter and target have one vocabulary."""

_ASK_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Vocabularies:
    """The drafter's own vocabulary, and those of targets whose tokenizers this edge has."""

    own: str
    targets: tuple[CrossVocabulary, ...] = ()

    def speaking(self, target: str) -> CrossVocabulary | None:
        """The way to the vocabulary with the hash `target`; None if ids travel as they are.

        Args:
            target: empty if the cloud hasn't told yet: then it is taken for the one whose tokenizer was named.

        Raises:
            MismatchError: this edge can't speak it.
        """
        if target == self.own:
            return None
        if not target:
            return self.targets[0] if self.targets else None
        found = next((words for words in self.targets if words.target.hash == target), None)
        if found is None:
            raise MismatchError(
                "drafter and target have different tokenizers, and this edge hasn't the target's: start it with "
                f"--target-tokenizer and the folder of the target's tokenizer.json (its hash begins with {target[:12]})"
            )
        return found


def vocabularies(own: Tokenizer, targets: list[Tokenizer], way: Way, own_eos: frozenset[int]) -> Vocabularies:
    """What a drafter with the tokenizer `own` can speak; targets that have the same need nothing."""
    others = {tokenizer.hash: tokenizer for tokenizer in targets if tokenizer.hash != own.hash}
    mine = Spelling(own) if others else None
    words = [CrossVocabulary(mine, Spelling(t), t, way, own_eos) for t in others.values() if mine is not None]
    return Vocabularies(own.hash, tuple(words))


@dataclass
class TargetHash:
    """The hash of the target's tokenizer, by the cloud's last word; empty while it isn't known.

    `ask` asks the cloud who it is.
    """

    ask: Callable[[float], Awaitable[ServerInfo]]
    value: str = field(default="", init=False)

    async def speaking(self, known: Vocabularies) -> CrossVocabulary | None:
        """As `Vocabularies.speaking`. Asks the cloud if that matters: only where there is a choice, or an objection."""
        if known.targets and not self.value:
            await self._ask()
        try:
            return known.speaking(self.value)
        except MismatchError:  # it may be another cloud by now
            await self._ask()
            return known.speaking(self.value)

    async def _ask(self) -> None:
        try:
            self.value = (await self.ask(_ASK_TIMEOUT_S)).tokenizer_hash
        except EventSpecError:  # whoever opens a session will hear it
            self.value = ""

    def forget(self) -> None:
        """The cloud has refused: it isn't the one that was asked."""
        self.value = ""
