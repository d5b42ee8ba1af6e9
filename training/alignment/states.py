"""Both models along the target's own answer: states that belong together, position by position.

The answer is greedy and the target's own. Where a guess is at hand (the expected answer), one forward checks it; what
doesn't hold is replaced by the target's choices and checked again, until the answer is a fixed point. Each pass settles
at least one more token, so the fixed point is exactly what decoding token by token gives, for less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.alignment.chunks import Sample
from training.alignment.sources import Material
from training.attention import ATTENTION_NAME
from training.data.batches import Pair, pack_pairs
from training.models import DrafterLearner, Learner, TargetLearner
from training.objective import Prefix, answer_states
from training.tokenizer import EOS, VOCABULARY

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


@dataclass(frozen=True, slots=True)
class _Row:
    """One pair's states and choices along its answer."""

    hidden: Tensor
    chosen: list[int]
    layers: Tensor | None = None


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
        drafts = _run(self.drafter, self.prefixes[1], scene.events, said, self.layers)
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

    def _target(self, video: Tensor, pairs: Sequence[Pair]) -> tuple[list[list[int]], list[_Row]]:
        """The target's answers to all pairs, and its states along them."""
        guesses = [list(pair.answer) for pair in pairs]
        found: dict[int, _Row] = {}
        open_ = list(range(len(pairs)))
        first = True
        while open_:
            began = time.perf_counter()
            asked = [Pair(pairs[i].prompt, guesses[i]) for i in open_]
            rows = _run(self.target, self.prefixes[0], video, asked, 0)
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


def _run(learner: Learner, prefix: Prefix, pixels: Tensor, pairs: Sequence[Pair], layers: int) -> list[_Row]:
    text = pack_pairs([pairs], sum(len(pair.prompt) + len(pair.answer) for pair in pairs))
    wanted = text.goals[0] >= 0
    with _listening(learner, layers) as heard:
        hidden, _ = answer_states(learner, prefix, pixels[None], text)
    chosen = learner.lm_head(hidden)[:, :VOCABULARY].argmax(-1).tolist()
    stack = None
    if layers:
        size = len(wanted)
        below = [state[0, -size:][wanted] for state in heard]
        stack = torch.stack([*below, hidden], dim=1)
    rows, at = [], 0
    for pair in pairs:
        end = at + len(pair.answer)
        rows.append(_Row(hidden[at:end], chosen[at:end], None if stack is None else stack[at:end]))
        at = end
    return rows


def run_along(
    learner: Learner, prefix: Prefix, pixels: Tensor, pairs: Sequence[Pair]
) -> list[tuple[Tensor, list[int]]]:
    """States [n, H] along each pair's answer and the model's choice at each of its positions."""
    return [(row.hidden, row.chosen) for row in _run(learner, prefix, pixels, pairs, 0)]


@contextmanager
def _listening(learner: Learner, layers: int) -> Iterator[list[Tensor]]:
    """Keep what the last `layers` layers but the very last put out; that one's output is the state after the norm."""
    heard: list[Tensor] = []
    blocks = list(learner.language.layers)[-layers:-1] if layers > 1 else []

    def keep(_module: object, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        heard.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(keep) for block in blocks]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
