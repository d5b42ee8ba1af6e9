"""Outcome branches: what the drafter would say after a mistake, drafted while it has nothing else to do. Pure.

    line      the answer as the drafter believes it      The | circle | moves  | left | ...
    branch    another word at some place, and on from it               `- stands | still | ...

A commit that disagrees with the line at a place where a branch has the very word that was committed finds its draft
ready. Where to branch off, and what to draft next, follows the chance that a token will be of use (geometric fan-out):

    (all before the place are right) * (the place is wrong) * (this word is what the target says there)
        * (what the branch has so far is right)

How likely a place is right is told by both the drafter's own certainty there and acceptance by place, as it has been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from edge.actions import BranchJob

_LEAST = 0.02  # chance that a token will be of use, below which it isn't drafted
_LOOK = 4  # positions at a time that a drafter is asked about: a commit mustn't wait for more than about a token
_FADE = 0.98  # of what branches were worth, with each later answer
_HELD_UP = 0.5  # tokens: what a commit waits, in the mean, for the branch's token that is being drafted
_TRUST = 4.0  # tokens that they are given in advance
_PROBE_EVERY = 8  # answers, once they have cost more than they gained


@dataclass(frozen=True, slots=True)
class Choice:
    """What a drafter could say at one position: ids, its own choice first, and how likely it holds each."""

    ids: tuple[int, ...]
    chances: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Branched:
    """What a drafter made of a branch: new ids, and what else it could have said, by answer position."""

    ids: tuple[int, ...]
    choices: Mapping[int, Choice] = field(default_factory=dict)


@dataclass(slots=True)
class Branch:
    """What follows the other word at a place.

    Attributes:
        ids: behind that word.
        chance: that all of them are right, in the drafter's eyes.
        growing: the drafter is at it.
        over: nothing more can follow.
    """

    ids: list[int] = field(default_factory=list)
    choices: dict[int, Choice] = field(default_factory=dict)
    chance: float = 1.0
    growing: bool = False
    over: bool = False


class Branches:
    """Branches off one line.

    Attributes:
        alternatives: words tried at a place, at most.
        made: branches begun.
        looked: positions of the line before this one have been asked about.
    """

    def __init__(self, alternatives: int, ends: Collection[int]) -> None:
        """`ends` are ids that end an answer: nothing follows them."""
        self.alternatives = alternatives
        self.made = 0
        self.looked = 0
        self._ends = ends
        self._choices: dict[int, Choice] = {}
        self._branches: dict[tuple[int, int], Branch] = {}

    def learn(self, choices: Mapping[int, Choice], until: int) -> None:
        """What the drafter could have said on the line, up to a position; some may be unknown."""
        self._choices.update(choices)
        self.looked = max(self.looked, until)

    def forget(self) -> None:
        """The line is another one."""
        self._choices, self._branches, self.looked = {}, {}, 0

    def job(
        self, held: Sequence[int], line: Sequence[int], committed: int, rate: Callable[[int], float], longest: int
    ) -> BranchJob | None:
        """What a drafter that would idle had best do, or None: `next`, once it was asked about the whole line.

        Args:
            held: the answer as the drafter has it, the line or a branch.
            line: as for `next`, like all that follows.
            committed: how much of it is committed.
            rate: how often the drafter has been right at a position.
            longest: tokens of a branch.
        """
        self._pass(committed)
        first = max(committed, self.looked)
        if first < len(line):
            until = min(first + _LOOK, len(line))
            return BranchJob(len(held), (), 0, tuple(held), first, until, self.alternatives)
        place = self.next(line, committed, rate, longest)
        if place is None:
            return None
        base = self._grow(line, *place)
        position, end = common(held, base), len(base)
        return BranchJob(position, base[position:], 1, base, end, end + 1, self.alternatives)

    def _pass(self, committed: int) -> None:
        if any(place < committed for place in self._choices):
            self._choices = {place: choice for place, choice in self._choices.items() if place >= committed}
            self._branches = {key: branch for key, branch in self._branches.items() if key[0] >= committed}

    def next(
        self, line: Sequence[int], committed: int, rate: Callable[[int], float], longest: int
    ) -> tuple[int, int] | None:
        """Where it is best to go on: a place of the line and the word there, or None.

        Args:
            line: the belief.
            committed: how much of it is committed.
            rate: how often the drafter has been right at a position.
            longest: tokens of a branch.
        """
        best, found, reach = _LEAST, None, 1.0
        for place in range(committed, len(line)):
            choice, wrong = self._choices.get(place), 1.0 - rate(place)
            if choice is not None and choice.ids[0] == line[place]:
                doubt = max(1e-6, 1.0 - choice.chances[0])
                wrong = math.sqrt(doubt * wrong)
                for token, chance in list(zip(choice.ids, choice.chances, strict=True))[1:]:
                    value = reach * wrong * min(1.0, chance / doubt) * self._open(place, token, longest)
                    if value > best:
                        best, found = value, (place, token)
            reach *= 1.0 - wrong
            if reach < best:
                break
        return found

    def _open(self, place: int, token: int, longest: int) -> float:
        """The chance that a branch's next token is of use, if its word is right; 0: it has enough."""
        branch = self._branches.get((place, token))
        if branch is None:
            return 0.0 if token in self._ends else 1.0
        return 0.0 if branch.over or len(branch.ids) >= longest else branch.chance

    def _grow(self, line: Sequence[int], place: int, token: int) -> tuple[int, ...]:
        branch = self._branches.get((place, token))
        if branch is None:
            branch = self._branches[place, token] = Branch()
            self.made += 1
        branch.growing = True
        return (*line[:place], token, *branch.ids)

    def grown(self, made: Branched) -> None:
        """What came of it."""
        for branch in self._branches.values():
            if branch.growing:
                branch.growing = False
                branch.over = not made.ids or made.ids[-1] in self._ends
                branch.ids += made.ids
                branch.choices.update(made.choices)
                for choice in made.choices.values():
                    branch.chance *= choice.chances[0]

    def switch(self, line: Sequence[int], committed: Sequence[int]) -> list[int] | None:
        """The line turned out wrong: the line to go on with, if there is a branch. All others are forgotten."""
        place = common(line, committed)
        branch = self._branches.get((place, committed[place]))
        self.forget()
        if branch is None:
            return None
        found = [*line[:place], committed[place], *branch.ids]
        ready = len(found) > len(committed) or (branch.growing and len(found) == len(committed))
        if not ready or found[: len(committed)] != list(committed):
            return None
        self._choices, self.looked = branch.choices, len(found)
        return found


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    shorter = min(len(first), len(second))
    if list(first[:shorter]) == list(second[:shorter]):
        return shorter
    return next(i for i in range(shorter) if first[i] != second[i])


class BranchWorth:
    """What branches have brought a daemon's answers, and what they cost: in tokens of the drafter."""

    def __init__(self) -> None:
        self._gained = self._spent = 0.0
        self._answers = 0

    @property
    def pays(self) -> bool:
        """They may be made in this answer: they bring more than they cost, or it is time to look again."""
        return self._spent <= self._gained + _TRUST or self._answers % _PROBE_EVERY == 0

    def hit(self, tokens: int) -> None:
        """So many tokens were ready that would have had to be drafted."""
        self._gained += tokens

    def held_up(self) -> None:
        """A commit came while the drafter was at a branch that it has no use for."""
        self._spent += _HELD_UP

    def answered(self) -> None:
        """An answer has ended."""
        self._answers += 1
        self._gained *= _FADE
        self._spent *= _FADE
