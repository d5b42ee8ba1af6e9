"""What else a simulated drafter could have said: how sure it is at each position, and where the truth comes then.

Where a case was traced, these are the real drafter's. Else they are drawn so that in the mean they are the tiny pair's
(`docs/lab.md`, outcome branches): 92 % of its mistakes are at places where it is less than 70 % sure, which are 14 % of
all; the next three words hold the truth in 45, 59 and 70 % of its mistakes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.simulation.cases import Case, another
from edge.branches import Choice

_DOUBTS_A_MISTAKE, _DOUBTS_IF_RIGHT = 0.92, 0.044
_DOUBTFUL, _SURE = 0.5, 0.97
_RANKS = (0.45, 0.59, 0.70)  # the truth is among the first so many others
_SHARES = (0.6, 0.2, 0.1)  # of what the drafter leaves to others


def drawn_choices(truth: Sequence[int], guesses: Sequence[int], seed: str) -> tuple[Choice, ...]:
    """What the drafter could say at each position after the true tokens before it."""
    rng = random.Random(seed)
    return tuple(_drawn(token, guess, rng) for token, guess in zip(truth, guesses, strict=False))


def _drawn(truth: int, guess: int, rng: random.Random) -> Choice:
    doubts = rng.random() < (_DOUBTS_IF_RIGHT if guess == truth else _DOUBTS_A_MISTAKE)
    at = rng.random()
    rank = next((i for i, bound in enumerate(_RANKS) if at < bound), None) if guess != truth else None
    others, word = [], another(max(guess, truth))
    for place in range(len(_RANKS)):
        others.append(truth if place == rank else word)
        word = another(word)
    return _choice(guess, others, _DOUBTFUL if doubts else _SURE)


def _choice(guess: int, others: Sequence[int], sure: float) -> Choice:
    return Choice((guess, *others), (sure, *(share * (1 - sure) for share in _SHARES)))


def choices_at(case: Case, choices: Sequence[Choice], answer: Sequence[int], place: int) -> Choice:
    """What a drafter that holds `answer` could have said at one of its positions."""
    on_truth = place < len(choices) and tuple(answer[:place]) == case.truth[:place]
    if on_truth and choices[place].ids[0] == answer[place]:
        return choices[place]
    words, word = [], another(answer[place])
    for _ in _SHARES:
        words.append(word)
        word = another(word)
    return _choice(answer[place], words, _SURE)
