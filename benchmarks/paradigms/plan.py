"""What is asked, of whom, how often, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.clips import ClipQuestion
from benchmarks.paradigms.base import Paradigm
from common.types import SamplingParams


@dataclass(frozen=True, slots=True)
class Plan:
    """Questions and repetitions of one comparison.

    Paradigms that stream ahead wait for as long as a clip lasts with every answer: they answer in the first
    `ahead_repetitions` only, and one round of warm-up is enough for them.
    """

    paradigms: Sequence[Paradigm]
    questions: Sequence[ClipQuestion]
    repetitions: int = 3
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int = 64
    warm_up: int = 1
    ahead_repetitions: int = 1

    def repetitions_of(self, paradigm: Paradigm) -> int:
        """How often each question goes to that paradigm."""
        return min(self.ahead_repetitions, self.repetitions) if paradigm.ahead else self.repetitions

    @property
    def size(self) -> int:
        """Measured answers."""
        return len(self.questions) * sum(self.repetitions_of(paradigm) for paradigm in self.paradigms)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question to one paradigm."""

    paradigm: Paradigm
    question: ClipQuestion
    repetition: int


def warm_up_turns(plan: Plan) -> Iterator[Turn]:
    """Questions that are asked of every paradigm before anything is measured; alternating, as the measured ones."""
    for number in range(plan.warm_up):
        for paradigm in plan.paradigms:
            if number == 0 or not paradigm.ahead:
                yield Turn(paradigm, plan.questions[number % len(plan.questions)], -1)


def turns(plan: Plan) -> Iterator[Turn]:
    """All measured turns: each question goes to every paradigm in turn, and who begins moves on with every question.

    So a drift of the machine (heat, other work) and the state of connections hit all paradigms alike.
    """
    count = len(plan.paradigms)
    for repetition in range(plan.repetitions):
        for number, question in enumerate(plan.questions):
            first = (number + repetition) % count
            for paradigm in [*plan.paradigms[first:], *plan.paradigms[:first]]:
                if repetition < plan.repetitions_of(paradigm):
                    yield Turn(paradigm, question, repetition)
