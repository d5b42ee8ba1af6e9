"""Drafts in another vocabulary than the drafter's. Pure: no torch, no I/O.

A session, its drafts and its commits speak the target's ids; the drafter knows its own. What both share is text, so the
drafting that a session gets keeps the answer in both spellings:

    the answer        ids of the target     The | circle | stands | still | .          committed, or sent
    the drafter's     ids of its own        The | circle | stands | still.| <end>      some of it may lie further ahead
                                                                   `- a boundary that only one of them has

As long as the drafter's text begins with the answer's, it stays as it is and goes on. Where a commit says otherwise,
the answer is spelled in the drafter's pieces, and the drafter goes back to the last piece that both spellings share.
Nothing of this can change an answer: what comes out are drafts, and the target verifies them.

    text     everything that the drafter says is spelled in the target's pieces; a piece is drafted once nothing that
             follows can change it (`Spelling.settled`)
    pieces   the drafter may only say pieces that both vocabularies have; each is one id on either side
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from common.errors import SessionError
from edge.worker import Drafting

if TYPE_CHECKING:
    from common.tokenizer import Tokenizer
    from common.vocabulary import Spelling

_FAR = 16  # bytes: a piece so far behind the end of a text without spaces counts as settled
_SPARE = 16  # tokens of the drafter that a draft may take beyond four for each of the target's


class Way(Enum):
    """For `--across`."""

    TEXT = "text"
    PIECES = "pieces"


class GoesBack(Protocol):
    """The drafter behind a drafting (`edge.drafter.Drafter`, or a stand-in in tests)."""

    def replace(self, position: int, ids: Sequence[int]) -> None:
        """The answer ends with `ids` from `position` on, whatever was drafted there."""


class PieceChoice(Protocol):
    """What chooses among the pieces that both vocabularies have: it must know where the target stands."""

    position: int


@dataclass(frozen=True)
class CrossVocabulary:
    """A drafter's vocabulary, a target's, and the way from one to the other.

    Attributes:
        own: the drafter's.
        target: the target's.
        tokenizer: the target's.
        way: how drafts get from one to the other.
        own_eos: the drafter's ids that end an answer.
    """

    own: Spelling
    target: Spelling
    tokenizer: Tokenizer
    way: Way
    own_eos: frozenset[int]

    @cached_property
    def twins(self) -> Mapping[int, int]:
        """The target's id for each of the drafter's whose text both vocabularies have, one to one; ends are twins."""
        theirs = _by_text(self.target)
        found = {
            mine: other
            for text, ids in _by_text(self.own).items()
            for mine, other in zip(ids, theirs[text], strict=False)
        }
        if self.own_eos and self.target.eos_id is not None:
            found[min(self.own_eos)] = self.target.eos_id
        return found


def _by_text(spelling: Spelling) -> defaultdict[bytes, list[int]]:
    """Ids by their text; where several have the same, ids of single bytes come last."""
    found: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, data in sorted(enumerate(spelling.pieces), key=lambda item: item[0] in spelling.fallback):
        if data:
            found[data].append(index)
    return found


@dataclass
class _Across:
    """What both ways share: the answer in both spellings, and commits."""

    inner: Drafting
    drafter: GoesBack
    words: CrossVocabulary
    ids: list[int] = field(default_factory=list)  # the answer, in the target's ids
    own: list[int] = field(default_factory=list)  # what the drafter holds, in its ids
    lost: bool = False  # the answer's text can't be spelled in the drafter's pieces (yet)

    @property
    def position(self) -> int:
        """The next answer position to draft."""
        return len(self.ids)

    @property
    def text(self) -> bytes:
        """The answer so far."""
        return self.words.target.text(self.ids)

    @property
    def ended(self) -> bool:
        """The drafter has said that its answer is over."""
        return bool(self.own) and self.own[-1] in self.words.own_eos

    @property
    def complete(self) -> bool:
        """The answer is over."""
        return bool(self.ids) and self.ids[-1] == self.words.target.eos_id

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """As the drafter's."""
        self.ids, self.own, self.lost = [], [], False
        return self.inner.prefill(prompt_ids, frames)

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """The answer from `position` on is `ids`, of the target's.

        What agrees with what was drafted costs nothing, and drafts behind it stay. From the first that disagrees on,
        the answer is `ids`.

        Raises:
            SessionError: ids between are missing.
        """
        if not 0 <= position <= len(self.ids):
            raise SessionError(f"a commit at position {position} doesn't join the answer of {len(self.ids)} ids")
        for offset, token in enumerate(ids):
            at = position + offset
            if at >= len(self.ids) or self.ids[at] != token:
                self.ids[at:] = ids[offset:]
                self._catch_up()
                return

    def _catch_up(self) -> None:
        """Take the drafter to the end of the answer, if what it holds doesn't go on from there."""
        text = self.text
        if self._goes_on_from(text):
            self.lost = False
            return
        spelled = self.words.own.spell(text)
        self.lost = spelled is None
        if spelled is not None:
            same = max(0, min(_common(self.own, spelled), len(spelled) - 1))  # the next draft needs one to go on from
            self.drafter.replace(same, spelled[same:])
            self._hold(spelled)

    def _hold(self, own: list[int]) -> None:
        """The drafter holds the answer and nothing beyond."""
        self.own = own

    def _goes_on_from(self, text: bytes) -> bool:
        raise NotImplementedError

    def _more(self, count: int) -> int:
        """Let the drafter say up to `count` more ids; how many it said."""
        new = self.inner.draft(count)
        self.own += new
        return len(new)

    def close(self) -> None:
        """Free what the drafter holds."""
        if hasattr(self.inner, "close"):
            self.inner.close()


class TextDrafter(_Across):
    """Implements `edge.worker.Drafting`: the drafter's text, spelled in the target's pieces."""

    def draft(self, count: int) -> list[int]:
        """Up to `count` of the target's ids; fewer at the answer's end, or where the drafter can't go on."""
        if self.lost or self.complete or count < 1:
            return []
        text = self.text
        budget = 4 * count + _SPARE
        while True:
            found = self._ready(text)
            if len(found) >= count or self.ended or budget <= 0:
                break
            said = self._more(min(budget, max(1, count - len(found))))
            if not said:
                found = self._ready(text, everything=True)
                break
            budget -= said
        self.ids += found[:count]
        return found[:count]

    def _goes_on_from(self, text: bytes) -> bool:
        return self.words.own.text(self.own).startswith(text)

    def _ready(self, text: bytes, *, everything: bool = False) -> list[int]:
        """Ids behind the answer that the drafter's text has settled."""
        target = self.words.target
        whole = self.words.own.text(self.own)
        ids = target.behind(self.ids, whole[len(text) :]) or []
        if self.ended:
            return [*ids, target.eos_id] if target.eos_id is not None else ids
        if everything:
            return ids
        until = max(target.settled(whole, len(text)), len(whole) - _FAR) - len(text)
        ends = accumulate(len(target.text([index])) for index in ids)
        return [index for index, end in zip(ids, ends, strict=True) if end <= until]


@dataclass
class PiecesDrafter(_Across):
    """Implements `edge.worker.Drafting`: the drafter says nothing but pieces that both vocabularies have."""

    choice: PieceChoice | None = None
    _at: int = 0  # of `own`, how many the answer has taken in

    def draft(self, count: int) -> list[int]:
        """Up to `count` of the target's ids; fewer at the answer's end, or where the drafter can't go on."""
        found: list[int] = []
        while len(found) < count and not self.lost and not self.complete:
            if self._at == len(self.own):
                if self.choice is not None:
                    self.choice.position = len(self.ids)
                if self.ended or not self._more(1):
                    break
            twin = self.words.twins.get(self.own[self._at])
            if twin is None:
                break
            self._at += 1
            self.ids.append(twin)
            found.append(twin)
        return found

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """As the drafter's."""
        self._at = 0
        return super().prefill(prompt_ids, frames)

    def _goes_on_from(self, text: bytes) -> bool:
        """True if the drafter has a boundary there, and all that it holds beyond can be said in the target's ids."""
        own = self.words.own
        ends = [0, *accumulate(len(own.text([index])) for index in self.own)]
        self._at = ends.index(len(text)) if len(text) in ends else len(self.own)
        beyond = self.own[self._at :]
        return own.text(self.own[: self._at]) == text and all(index in self.words.twins for index in beyond)

    def _hold(self, own: list[int]) -> None:
        super()._hold(own)
        self._at = len(own)


def _common(first: Iterable[int], second: Iterable[int]) -> int:
    """Length of the longest common beginning."""
    same = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        same += 1
    return same
