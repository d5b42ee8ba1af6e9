"""What events can't tell: the best acceptance that any drafter can reach, token by token, given what is in the events.

The bound is that of an ideal observer. It knows the world (`training.world` is the prior), the question, the answer's
tokens so far, and *everything* about each thing that fires: shape, size, motion, speed, place, fate. It does not know
colours (events carry none, and intensity is drawn without looking at colour), nor anything about things at rest that
neither appear nor leave: how many there are, and what they look like.

For each scene the hidden part is drawn again and again from the prior given the visible one; questions of each kind are
asked about every drawn scene; those that ask the same are the posterior. Colours are exchangeable in the prior, so
questions and answers are compared with colours numbered in order of first mention, and a colour not mentioned yet is
worth 1 / (colours left). At a token the observer says what most of the agreeing answers say.

Two figures bracket the truth: `expected`, the mean of the largest posterior share (too high where few samples agree),
and `reached`, how often that choice is the token (too low for the same reason).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tokenizers import Tokenizer

from training.evaluation.acceptance import token_classes
from training.evaluation.cases import Case
from training.tokenizer import EOS
from training.world.questions import ask
from training.world.scenes import COLOURS, Scene, Thing, _apart, _sample_thing

_COUNTS = {1: 0.25, 2: 0.4, 3: 0.35}  # of things in a scene (`sample_scene`)
_REST = 0.3 * 0.7  # a thing at rest that neither appears nor leaves
_NEW = 1 << 20  # symbols of colours: _NEW, _NEW + 1, ... in order of first mention
Answer = tuple[int, ...]


@dataclass(slots=True)
class Bound:
    """Counts over tokens, by class of word: [expected, reached, tokens].

    Attributes:
        by_class: sums.
        unknown: tokens at which no drawn answer agrees with the target's so far; they count as told by the events.
    """

    by_class: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    unknown: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return int(sum(row[2] for row in self.by_class.values()))

    @property
    def expected(self) -> float:
        """Upper end of the bracket, over all tokens."""
        return sum(row[0] for row in self.by_class.values()) / max(1, self.tokens)

    @property
    def reached(self) -> float:
        """Lower end of the bracket, over all tokens."""
        return sum(row[1] for row in self.by_class.values()) / max(1, self.tokens)

    def add(self, kind: str, expected: float, reached: float) -> None:
        """Count one token."""
        row = self.by_class[kind]
        for at, value in enumerate((expected, reached, 1.0)):
            row[at] += value


class Posterior:
    """Scenes that look alike to an event sensor: the visible things stay, what is hidden is drawn anew."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene, self._rng = scene, rng
        self.visible = [thing for thing in scene.things if fires(thing)]

    def draw(self, count: int) -> list[Scene]:
        """`count` scenes from the prior, given what fires."""
        seen = len(self.visible)
        sizes = [size for size in _COUNTS if size >= seen]
        weights = np.array([_COUNTS[n] * _orders(n, seen) * _REST ** (n - seen) / apart_share(n) for n in sizes])
        found: list[Scene] = []
        tries = 0
        while len(found) < count and tries < 200 * count:
            tries += 1
            size = int(self._rng.choice(sizes, p=weights / weights.sum()))
            things = [*map(self._repaint, self.visible), *(self._resting() for _ in range(size - seen))]
            ordered = tuple(sorted(things, key=lambda thing: thing.x))
            if size == seen or _apart(ordered):
                found.append(replace(self.scene, things=ordered))
        return found

    def _repaint(self, thing: Thing) -> Thing:
        return replace(thing, colour=str(self._rng.choice(COLOURS)))

    def _resting(self) -> Thing:
        while True:
            thing = _sample_thing(self._rng)
            if not fires(thing):
                return thing


def fires(thing: Thing) -> bool:
    """Whether the event sensor sees it at all: it moves, appears or leaves."""
    return thing.motion is not None or thing.appears is not None or thing.leaves is not None


_APART: dict[int, float] = {}


def apart_share(count: int, draws: int = 3000) -> float:
    """Share of draws of so many things that `sample_scene` keeps."""
    if count not in _APART:
        rng = np.random.default_rng([count, 0xA9])
        kept = sum(
            _apart(tuple(sorted((_sample_thing(rng) for _ in range(count)), key=lambda thing: thing.x)))
            for _ in range(draws)
        )
        _APART[count] = kept / draws
    return _APART[count]


def bound(
    cases: Iterable[Case],
    answers: Sequence[Sequence[Sequence[int]]],
    tokenizer: Tokenizer,
    tick: Callable[[int], None],
    scenes: int = 120,
    asks: int = 25,
    seed: int = 0,
) -> Bound:
    """The bound on acceptance of the target's `answers` to the questions of `cases`.

    Args:
        cases: held-out scenes.
        answers: the target's, EOS included.
        tokenizer: of the pair.
        tick: told how many cases are done.
        scenes: drawn for each case.
        asks: questions of each kind about each drawn scene.
        seed: of the draws.
    """
    found = Bound()
    speaker = _Speaker(tokenizer)
    for number, (case, given) in enumerate(zip(cases, answers, strict=True)):
        rng = np.random.default_rng([seed, case.scene.seed, 0xB0])
        drawn = Posterior(case.scene, rng).draw(scenes)
        for question, answer in zip(case.questions, given, strict=True):
            pool = list(speaker.pool(drawn, question.kind, question.text, rng, asks))
            symbols, named = speaker.symbols(question.text, answer)
            classes = token_classes(tokenizer, list(answer), question.text)
            for kind, expected, reached in judge(pool, symbols, classes, named, found):
                found.add(kind, expected, reached)
        tick(number + 1)
    return found


def judge(
    pool: Sequence[Answer], symbols: Answer, classes: Sequence[str], named: int, found: Bound
) -> Iterator[tuple[str, float, float]]:
    """What the ideal observer expects and reaches at each token of one answer; `named` colours are in the question."""
    for at, (symbol, kind) in enumerate(zip(symbols, classes, strict=True)):
        agreeing = Counter(answer[at] for answer in pool if len(answer) > at and answer[:at] == symbols[:at])
        total = sum(agreeing.values())
        if not total:
            found.unknown += 1
            yield kind, 1.0, 1.0
            continue
        named = max([named, *(value - _NEW + 1 for value in symbols[:at] if value >= _NEW)])
        worth = {value: count / _options(value, named) for value, count in agreeing.items()}
        best = max(worth, key=lambda value: (worth[value], -value))
        hit = 1.0 / _options(symbol, named) if best == symbol else 0.0
        yield kind, worth[best] / total, hit


def _options(symbol: int, named: int) -> int:
    """Colours that a symbol may stand for: one unless it is the first mention of a new one."""
    return len(COLOURS) - named if symbol == _NEW + named else 1


class _Speaker:
    """Questions and answers as symbols: token ids, colours numbered in order of first mention."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._colours = {tokenizer.token_to_id(f"▁{colour}") for colour in COLOURS}
        self._ids: dict[str, tuple[int, ...]] = {}

    def symbols(self, question: str, answer: Sequence[int]) -> tuple[Answer, int]:
        """The answer's symbols, and how many colours the question names; those come first in the numbering."""
        heard, said = self._numbered(question, answer)
        return said, len({value for value in heard if value >= _NEW})

    def pool(
        self, scenes: Sequence[Scene], kind: str, question: str, rng: np.random.Generator, asks: int
    ) -> Iterator[Answer]:
        """Answers to the same question about drawn scenes, colours aside."""
        wanted = self._numbered(question, ())[0]
        shape = _without_colours(question)
        for scene in scenes:
            for _ in range(asks):
                asked = ask(scene, kind, rng)
                if asked is None:
                    continue
                if _without_colours(asked.text) == shape:
                    heard, said = self._numbered(asked.text, (*self._encode(asked.answer), EOS))
                    if heard == wanted:
                        yield said

    def _numbered(self, question: str, answer: Sequence[int]) -> tuple[Answer, Answer]:
        known: dict[int, int] = {}

        def number(token: int) -> int:
            return known.setdefault(token, _NEW + len(known)) if token in self._colours else token

        heard = tuple(number(token) for token in self._encode(question))
        return heard, tuple(number(token) for token in answer)

    def _encode(self, text: str) -> tuple[int, ...]:
        if text not in self._ids:
            self._ids[text] = tuple(self._tokenizer.encode(text).ids)
        return self._ids[text]


def _without_colours(text: str) -> str:
    return " ".join("*" if word.strip(".?,") in COLOURS else word for word in text.split())


def _orders(count: int, seen: int) -> int:
    """Ways in which `seen` given things can be among `count` drawn ones."""
    ways = 1
    for number in range(count, count - seen, -1):
        ways *= number
    return ways
