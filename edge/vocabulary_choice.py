"""How a drafter chooses when its drafts are for another vocabulary. Imports torch.

Neither way lets it say ids that have no text, but for the end of the answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.sampling import choose
from common.types import SamplingParams
from edge.drafter import Drafter
from edge.vocabulary import CrossVocabulary, PiecesDrafter, TextDrafter, Way
from edge.worker import Drafting


def across(words: CrossVocabulary, drafting: Drafting, drafter: Drafter) -> Drafting:
    """The drafting that a session gets, in the target's ids: `drafting` is `drafter`, or something around it."""
    if words.way is Way.TEXT:
        drafter.chooser = LikeliestPiece(words, drafter.vocab_size)
        return TextDrafter(drafting, drafter, words)
    choice = SharedPiece(words, drafter.vocab_size, drafter.sampling)
    drafter.chooser = choice
    return PiecesDrafter(drafting, drafter, words, choice=choice)


class LikeliestPiece:
    """The likeliest piece, whatever the sampling: the target's noise belongs to its own ids at its own positions.

    Against a target that samples, the likeliest guess is right at least as often as one drawn by itself.
    """

    def __init__(self, words: CrossVocabulary, vocab_size: int) -> None:
        said = [index for index, data in enumerate(words.own.pieces[:vocab_size]) if data]
        self._allowed = torch.tensor(sorted({*said, *(i for i in words.own_eos if i < vocab_size)}))

    def __call__(self, logits: Tensor, position: int) -> int:
        """The choice from `logits` [1, vocab]."""
        best = int(logits[0, self._allowed.to(logits.device)].argmax())
        return int(self._allowed[best])


class SharedPiece:
    """The seeded choice among the pieces that both vocabularies have, by the target's ids and its position.

    Attributes:
        position: where the target's answer stands.
    """

    def __init__(self, words: CrossVocabulary, vocab_size: int, sampling: SamplingParams) -> None:
        pairs = sorted((other, mine) for mine, other in words.twins.items() if mine < vocab_size)
        self._theirs = torch.tensor([other for other, _ in pairs], dtype=torch.long)
        self._own = torch.tensor([mine for _, mine in pairs], dtype=torch.long)
        self._back = dict(pairs)
        self._size = words.tokenizer.vocab_size
        self._sampling = sampling
        self.position = 0

    def __call__(self, logits: Tensor, position: int) -> int:
        """The drafter's id of the choice from its `logits` [1, vocab]."""
        there = torch.full((1, self._size), -torch.inf, device=logits.device)
        there[:, self._theirs.to(logits.device)] = logits[:, self._own.to(logits.device)].float()
        return self._back[choose(there, self._sampling, [self.position])[0]]
