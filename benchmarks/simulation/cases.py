"""What is asked in a simulation: questions with a known answer, and how well a drafter guesses it.

A greedy drafter that is re-conditioned on the committed tokens makes the same guess at a position whatever the draft
lengths were. So whether it is right is drawn once for each position of each answer, not for each attempt.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cloud.video import sampled_indices
from edge.branches import Choice

EOS = 2
FIRST_WORD = 3
VOCABULARY = 32_000
_FRAMES = 64  # of a made up video
EVEN = tuple((index + 1) / _FRAMES for index in sampled_indices(_FRAMES))


@dataclass(frozen=True, slots=True)
class Case:
    """A question. `truth` is the target's answer, its end token included where it ends by itself.

    `guesses` are the drafter's, each after the true tokens before it; None if they are to be drawn. `paths` say how the
    drafter goes on by itself from a wrong guess, that guess first, by its position. `places` are the shares of the
    video after which each of the target's frames is decoded. `choices` say what else the drafter could have said
    where it guesses; None if they are to be drawn.
    """

    clip: str
    question: str
    truth: tuple[int, ...]
    video_bytes: int
    text_tokens: int = 20
    guesses: tuple[int, ...] | None = None
    paths: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    places: tuple[float, ...] = EVEN
    choices: tuple[Choice, ...] | None = None


class Acceptance(Protocol):
    """How often a drafter is right."""

    def at(self, position: int) -> float:
        """Probability of being right at this answer position, all tokens before it being the target's."""


@dataclass(frozen=True, slots=True)
class ByPosition:
    """Probabilities of the first positions; `beyond` for all later ones."""

    rates: tuple[float, ...]
    beyond: float

    def at(self, position: int) -> float:
        return self.rates[position] if position < len(self.rates) else self.beyond


def draw_guesses(truth: Sequence[int], acceptance: Acceptance, rng: random.Random) -> tuple[int, ...]:
    """A guess for each position of an answer; a wrong one is another word, never the end."""
    return tuple(
        token if rng.random() < acceptance.at(position) else another(token) for position, token in enumerate(truth)
    )


def another(token: int) -> int:
    """A word that isn't `token`."""
    return FIRST_WORD + (token - FIRST_WORD + 1) % (VOCABULARY - FIRST_WORD)


def drafted(case: Case, guesses: Sequence[int], base: Sequence[int], count: int) -> list[int]:
    """What the drafter says after `base`, up to `count` tokens or the end: right guesses, then a wrong path.

    A path that wasn't traced goes on in words that aren't the target's, to the end of an answer of the same length.
    """
    truth, at = case.truth, len(base)
    wrong = next((i for i, token in enumerate(base) if i >= len(truth) or token != truth[i]), None)
    ids: list[int] = []
    for position in range(at, at + count):
        if wrong is None:
            token = guesses[position] if position < len(truth) else EOS
            wrong = None if position < len(truth) and token == truth[position] else position
        else:
            path = case.paths.get(wrong, ())
            along = position - wrong
            token = path[along] if along < len(path) else _filler(truth, position)
        ids.append(token)
        if token == EOS:
            break
    return ids


def _filler(truth: Sequence[int], position: int) -> int:
    return another(truth[position]) if position < len(truth) - 1 else EOS


def made_up_case(number: int, tokens: int, video_bytes: int, rng: random.Random, text_tokens: int = 20) -> Case:
    """A question whose answer has `tokens` tokens, the end token included."""
    words = tuple(rng.randrange(FIRST_WORD, VOCABULARY) for _ in range(tokens - 1))
    return Case(f"made up {number}", "What happens in the clip?", (*words, EOS), video_bytes, text_tokens=text_tokens)
