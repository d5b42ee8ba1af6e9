"""Both models along the target's own answer: states that belong together, position by position.

The answer is greedy and the target's own. Where a guess is at hand (the expected answer), one forward checks it; what
doesn't hold is replaced by the target's choices and checked again, until the answer is a fixed point. Each pass settles
at least one more token, so the fixed point is exactly what decoding token by token gives, for less. What precedes the
question runs once a scene.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.alignment.chunks import Sample
from training.alignment.prompted import Prompted, Row
from training.alignment.sources import Material
from training.attention import ATTENTION_NAME
from training.data.batches import Pair
from training.models import DrafterLearner, TargetLearner
from training.objective import Prefix
from training.tokenizer import EOS

MAX_ANSWER = 80


@dataclass(slots=True)
class Spent:
    """Seconds inside the models' forwards.

    Attributes:
        target: forwards along final answers.
        search: forwards that found the target's answer where the guess wasn't it.
        drafter: the drafter's forwards.
    """

    target: float = 0.0
    search: float = 0.0
    drafter: float = 0.0

    @property
    def forwards(self) -> float:
        """All of them."""
        return self.target + self.search + self.drafter


@dataclass(slots=True)
class Aligner:
    """Runs both models over the same answers.

    Attributes:
        target, drafter: the models, in eval mode.
        prefixes: of their prompts.
        layers: the drafter's last so many layers are kept, too; 0 for none.
        spent: time inside forwards so far.
    """

    target: TargetLearner
    drafter: DrafterLearner
    prefixes: tuple[Prefix, Prefix]
    layers: int = 0
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        for learner in (self.target, self.drafter):
            learner.language.set_attn_implementation(ATTENTION_NAME)

    @torch.inference_mode()
    def samples(self, scene: Material, first: int = 0) -> list[Sample]:
        """Aligned states of the scene's questions from number `first` on, in order."""
        pairs = list(scene.pairs[first:])
        if not pairs:
            return []
        answers, rows = self._target(scene.video, pairs)
        said = [Pair(pair.prompt, answer) for pair, answer in zip(pairs, answers, strict=True)]
        began = time.perf_counter()
        drafts = Prompted(self.drafter, self.prefixes[1], scene.events).run(said, self.layers)
        self.spent.drafter += time.perf_counter() - began
        return [
            Sample(
                scene=scene.seed,
                prompt=tuple(pair.prompt),
                target_ids=tuple(pair.answer),
                drafter_ids=tuple(mine.chosen),
                target_hidden=theirs.hidden,
                drafter_hidden=mine.hidden,
                drafter_layers=mine.layers,
            )
            for pair, theirs, mine in zip(said, rows, drafts, strict=True)
        ]

    def _target(self, video: Tensor, pairs: Sequence[Pair]) -> tuple[list[list[int]], list[Row]]:
        """The target's answers to all pairs, and its states along them."""
        guesses = [list(pair.answer) for pair in pairs]
        found: dict[int, Row] = {}
        open_ = list(range(len(pairs)))
        first = True
        prompted: Prompted | None = None
        while open_:
            began = time.perf_counter()
            prompted = prompted or Prompted(self.target, self.prefixes[0], video)
            rows = prompted.run([Pair(pairs[i].prompt, guesses[i]) for i in open_])
            passed = time.perf_counter() - began
            if first:
                self.spent.target += passed
            else:
                self.spent.search += passed
            first = False
            for i, row in zip(open_, rows, strict=True):
                better = improved(guesses[i], row.chosen)
                if better is None:
                    found[i] = row
                else:
                    guesses[i] = better
            open_ = [i for i in open_ if i not in found]
        return guesses, [found[i] for i in range(len(pairs))]


def improved(guess: Sequence[int], chosen: Sequence[int]) -> list[int] | None:
    """A better guess at a greedy answer, or None if `guess` is it.

    Args:
        guess: token ids, [n].
        chosen: the model's choice at each position of `guess`, given the guess's tokens before it, [n].
    """
    agreed = next((i for i, (a, b) in enumerate(zip(guess, chosen, strict=True)) if a != b), len(guess))
    if agreed == len(guess):
        return None if guess[-1] == EOS or len(guess) >= MAX_ANSWER else [*guess, EOS]
    better = [*guess[:agreed], *chosen[agreed:]]
    if EOS in better:
        return better[: better.index(EOS) + 1]
    return [*better, EOS][:MAX_ANSWER]
