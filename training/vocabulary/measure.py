"""What drafting across vocabularies is worth: the drafters as they are served, against the target's own answers.

Every way answers the same held-out questions. *Acceptance* is that of drafts of one token with the drafter
re-conditioned on the committed tokens at every position; with longer drafts, verification after verification is gone
through as the runtime would, because a drafter of another vocabulary may be ahead of what it has drafted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from common.tokenizer import Tokenizer
from edge.drafter import Drafter
from edge.drafter_model import DrafterModel
from edge.eventgpt.prompt import prompt_ids
from edge.vocabularies import vocabularies
from edge.vocabulary import Way
from edge.worker import Drafting
from training.evaluation.acceptance import token_classes
from training.evaluation.cases import Case, held_out
from training.evaluation.target import greedy_answers
from training.models import TargetLearner
from training.objective import prefix_of

LENGTHS = (3, 5, 8)
SHARED = "shared vocabulary"


@dataclass
class Tally:
    """Counts of one way.

    Attributes:
        by_class: [accepted, tokens] of one-token drafts, by class of word.
        passes: by draft length: verifications.
        drafted: by draft length: tokens drafted.
        accepted: by draft length: of them, accepted.
        said: by draft length: tokens that the drafter said, in its own vocabulary.
        seconds: by draft length: processor time of drafting.
    """

    by_class: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    passes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    drafted: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    accepted: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    said: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def tokens(self) -> int:
        """Tokens of all answers."""
        return sum(tokens for _, tokens in self.by_class.values())

    @property
    def acceptance(self) -> float:
        """Of drafts of one token."""
        return sum(accepted for accepted, _ in self.by_class.values()) / max(1, self.tokens)

    def add(self, other: Tally) -> None:
        """Take another's counts in."""
        for kind, (accepted, tokens) in other.by_class.items():
            self.by_class[kind][0] += accepted
            self.by_class[kind][1] += tokens
        for mine, theirs in (
            (self.passes, other.passes),
            (self.drafted, other.drafted),
            (self.accepted, other.accepted),
            (self.said, other.said),
        ):
            for length, count in theirs.items():
                mine[length] += count
        for length, seconds in other.seconds.items():
            self.seconds[length] += seconds

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "tokens": self.tokens,
            "acceptance": self.acceptance,
            "acceptance_by_class": {kind: a / n for kind, (a, n) in sorted(self.by_class.items())},
            "by_draft_length": {
                str(n): {
                    "tokens_a_verification": self.tokens / self.passes[n],
                    "accepted_of_drafted": self.accepted[n] / max(1, self.drafted[n]),
                    "drafter_tokens_a_token": self.said[n] / self.tokens,
                    "drafting_ms_a_token": self.seconds[n] * 1e3 / self.tokens,
                }
                for n in sorted(self.passes)
            },
        }


class Counted:
    """A drafter that counts what it says."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.said = 0

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        return self._drafter.prefill(prompt_ids, frames)

    def draft(self, count: int) -> list[int]:
        ids = self._drafter.draft(count)
        self.said += len(ids)
        return ids

    def commit(self, position: int, ids: Sequence[int]) -> None:
        self._drafter.commit(position, ids)


def models_of(
    shared: DrafterModel, other: DrafterModel, target: Tokenizer, ways: Sequence[Way]
) -> dict[str, DrafterModel]:
    """The drafters to compare, by name."""
    found = {SHARED: shared}
    for way in ways:
        known = vocabularies(other.tokenizer, [target], way, other.model.config.eos_token_ids)
        made = DrafterModel(other.name, other.model, other.tokenizer, known=known)
        found[way.value] = made.speaking(known.speaking(target.hash))
    return found


@torch.inference_mode()
def compare(
    target: TargetLearner,
    tokenizer: Tokenizer,
    models: dict[str, DrafterModel],
    scenes: int,
    tick: Callable[[int], None],
) -> dict[str, Tally]:
    """Every drafter on the same held-out questions, in turns; `tick` is told how many scenes are done.

    Returns:
        The counts by name; those of the scenes so far, if it is interrupted.
    """
    tallies = {name: Tally() for name in models}
    prefix = prefix_of(target, tokenizer.raw)
    try:
        for done, case in enumerate(held_out(scenes, tokenizer.raw), 1):
            answers = greedy_answers(target, prefix, case)
            of_scene = {name: _count(model, case, answers, tokenizer) for name, model in models.items()}
            for name, tally in of_scene.items():
                tallies[name].add(tally)
            tick(done)
    except KeyboardInterrupt:
        if not tallies[SHARED].tokens:
            raise
    return tallies


def _count(model: DrafterModel, case: Case, answers: Sequence[Sequence[int]], tokenizer: Tokenizer) -> Tally:
    tally = Tally()
    features = model.model.encode_pixels(case.events[None])[0]
    for question, answer in zip(case.questions, answers, strict=True):
        new = _Maker(model, question.text, features, len(answer))
        for right, kind in zip(
            _single(new(), answer), token_classes(tokenizer.raw, answer, question.text), strict=True
        ):
            tally.by_class[kind][0] += right
            tally.by_class[kind][1] += 1
        for length in LENGTHS:
            _walk(tally, new(), answer, length)
    return tally


@dataclass(frozen=True)
class _Maker:
    """Makes drafters that have their prompt."""

    model: DrafterModel
    question: str
    features: Tensor
    tokens: int

    def __call__(self) -> tuple[Drafting, Counted]:
        from common.types import SamplingParams

        drafter = self.model.new(SamplingParams(), self.tokens + max(LENGTHS))
        prompt = prompt_ids(self.question, self.model.tokenizer, self.model.model.config.prompt_template)
        drafter.prefill(prompt, features=self.features)
        counted = Counted(drafter)
        return self.model.adapted(counted, drafter), counted


def _single(made: tuple[Drafting, Counted], answer: Sequence[int]) -> list[bool]:
    """Whether each token of the answer is what is drafted behind those before it."""
    drafting, _ = made
    found = []
    for position, token in enumerate(answer):
        found.append(drafting.draft(1) == [token])
        drafting.commit(position, [token])
    return found


def _walk(tally: Tally, made: tuple[Drafting, Counted], answer: Sequence[int], length: int) -> None:
    """Draft and verify to the end of the answer."""
    drafting, counted = made
    clock: Callable[[], float] = time.thread_time
    at = 0
    while at < len(answer):
        began = clock()
        ids = drafting.draft(length)
        spent = clock() - began
        run = 0
        while run < len(ids) and at + run < len(answer) and ids[run] == answer[at + run]:
            run += 1
        tally.passes[length] += 1
        tally.drafted[length] += len(ids)
        tally.accepted[length] += run
        began = clock()
        drafting.commit(at, answer[at : at + run + 1])
        tally.seconds[length] += spent + clock() - began
        at += run + 1
    tally.said[length] += counted.said
