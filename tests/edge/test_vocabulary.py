"""Drafts across vocabularies: boundaries, commits inside a piece, bytes, ends, and drafters that are taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.errors import MismatchError, SessionError
from common.shipped import shipped_other_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.types import ServerInfo
from common.vocabulary import Spelling
from edge.vocabularies import TargetHash, Vocabularies, vocabularies
from edge.vocabulary import CrossVocabulary, PiecesDrafter, TextDrafter, Way
from tests.common.tokenizers import llama_like
from training.vocabulary.tokenizer import EOS

TARGET = Tokenizer.from_folder(shipped_target())
OTHER = Tokenizer.from_folder(shipped_other_drafter())
TEXT, PIECES = (
    CrossVocabulary(Spelling(OTHER), Spelling(TARGET), TARGET, way, frozenset({EOS})) for way in (Way.TEXT, Way.PIECES)
)
END_ID = TARGET.eos_id or 2


@dataclass
class Scripted:
    """A drafter that wants to say a text: it spells what is left of it behind what it holds; a comma if it is lost.

    `only` restricts it to some ids, as a drafter of shared pieces is.
    """

    words: CrossVocabulary
    script: bytes
    only: frozenset[int] | None = None
    ids: list[int] = field(default_factory=list)
    told: list[tuple[int, list[int]]] = field(default_factory=list)

    def prefill(self, prompt_ids: Any, frames: Any) -> None:
        self.ids = []

    def draft(self, count: int) -> list[int]:
        said: list[int] = []
        while len(said) < count and self.ids[-1:] != [EOS]:
            said.append(self._next())
            self.ids.append(said[-1])
        return said

    def _next(self) -> int:
        own = self.words.own
        held = own.text(self.ids)
        wanted = own.behind(self.ids, self.script[len(held) :]) if self.script.startswith(held) else own.spell(b",")
        assert wanted is not None
        index = wanted[0] if wanted else EOS
        if self.only is None or index in self.only:
            return index
        first = (own.pieces[index] or b"")[:1]
        return next(i for i in sorted(self.only) if own.pieces[i] == first)

    def commit(self, position: int, ids: Sequence[int]) -> None:
        raise AssertionError("a drafter across vocabularies is taken back, not told")

    def replace(self, position: int, ids: Sequence[int]) -> None:
        assert 0 <= position <= len(self.ids)
        self.told.append((position, list(ids)))
        self.ids[position:] = ids


Across = TextDrafter | PiecesDrafter


def made(way: CrossVocabulary, script: str | bytes) -> tuple[Across, Scripted]:
    data = script.encode() if isinstance(script, str) else script
    if way.way is Way.TEXT:
        inner = Scripted(way, data)
        return TextDrafter(inner, inner, way), inner
    inner = Scripted(way, data, only=frozenset(way.twins))
    return PiecesDrafter(inner, inner, way), inner


def spelled(text: str) -> list[int]:
    ids = TEXT.target.spell(text.encode())
    assert ids is not None
    return ids


BOTH = pytest.mark.parametrize("way", [TEXT, PIECES], ids=["text", "pieces"])


# --------------------------------------------------------------------------------------------- what is drafted


@BOTH
def test_a_draft_is_what_the_target_would_say(way: CrossVocabulary) -> None:
    text = " The circle moves left, the square stands"
    drafter, _ = made(way, text)
    found: list[int] = []
    while END_ID not in found:
        new = drafter.draft(3)
        assert 0 < len(new) <= 3
        found += new
    assert found == [*spelled(text), END_ID]
    assert drafter.draft(3) == []


def test_a_piece_that_may_still_grow_is_not_drafted() -> None:
    drafter, inner = made(TEXT, " The circles")
    assert drafter.draft(1) == spelled(" The")
    said = TEXT.own.text(inner.ids)
    assert said.startswith(b" The ") and len(said) > len(b" The ")  # what it says next tells that " The" is whole
    found = drafter.draft(1)
    assert found == spelled(" circles")[:1]


def test_shared_pieces_are_the_same_text() -> None:
    assert len(PIECES.twins) > 350
    assert len(set(PIECES.twins.values())) == len(PIECES.twins)
    for mine, other in PIECES.twins.items():
        assert PIECES.own.pieces[mine] == PIECES.target.pieces[other] or (mine, other) == (EOS, END_ID)


def test_bytes_that_no_piece_has_are_shared_as_bytes() -> None:
    dot = [i for i, data in enumerate(PIECES.target.pieces) if data == b"." and i not in PIECES.target.fallback]
    (mine,) = [i for i, data in enumerate(PIECES.own.pieces) if data == b"."]
    assert PIECES.twins[mine] == dot[0]
    (start,) = [i for i, data in enumerate(PIECES.own.pieces) if data == b"\xc3"]
    assert PIECES.twins[start] in PIECES.target.fallback


@BOTH
def test_characters_of_several_bytes_arrive_whole(way: CrossVocabulary) -> None:
    text = " café 你好 🙂 up"
    drafter, _ = made(way, text)
    found: list[int] = []
    while END_ID not in found:
        found += drafter.draft(2)
    assert way.target.text(found) == text.encode()
    if way is TEXT:
        assert found == [*spelled(text), END_ID]


def test_a_text_without_spaces_is_drafted_all_the_same() -> None:
    text = " " + "你好" * 20
    drafter, inner = made(TEXT, text)
    first = drafter.draft(4)
    assert first == spelled(text)[:4]
    assert len(TEXT.own.text(inner.ids)) < len(text.encode())  # it needn't wait for the end
    assert drafter.draft(4) == spelled(text)[4:8]


def test_a_drafter_that_says_the_name_of_the_end_has_not_ended() -> None:
    drafter, _ = made(TEXT, " </s> up")
    found = drafter.draft(20)
    assert found == [*spelled(" </s> up"), END_ID]
    assert found.index(END_ID) == len(found) - 1


def test_a_drafter_with_nothing_to_say_drafts_nothing() -> None:
    drafter, inner = made(TEXT, "")
    inner.draft = lambda count: []  # type: ignore[method-assign]
    assert drafter.draft(4) == []


# ------------------------------------------------------------------------------------------------- commits


@BOTH
def test_a_commit_that_agrees_costs_nothing(way: CrossVocabulary) -> None:
    drafter, inner = made(way, " The circle moves up.")
    ids = drafter.draft(3)
    drafter.commit(0, ids)
    drafter.commit(1, ids[1:])
    assert inner.told == []
    assert drafter.position == 3


@BOTH
def test_another_spelling_of_the_same_text_keeps_the_drafter(way: CrossVocabulary) -> None:
    drafter, inner = made(way, " The circle moves up.")
    drafter.draft(2)
    circ, le = spelled(" circ"), [i for i, data in enumerate(TARGET_PIECES) if data == b"le"][:1]
    assert TEXT.target.text([*circ, *le]) == b" circle"
    drafter.commit(1, [*circ, *le])
    assert inner.told == []
    assert drafter.draft(1) == spelled(" moves")


TARGET_PIECES = TEXT.target.pieces


def test_a_commit_inside_a_piece_of_the_drafter_goes_on_with_the_rest_of_it() -> None:
    """The drafter's `still.` is one piece; the target has said `still` and not yet what follows."""
    drafter, inner = made(TEXT, " The circle stands still. It moves")
    assert drafter.draft(3) == spelled(" The circle stands")
    assert b" still." in [TEXT.own.pieces[index] for index in inner.ids]
    drafter.commit(3, spelled(" still"))
    assert inner.told == []
    assert drafter.draft(2) == spelled(" The circle stands still. It moves")[4:6]


def test_a_commit_inside_a_word_is_continued_inside_it() -> None:
    drafter, inner = made(TEXT, " The triangle moves")
    drafter.draft(1)
    drafter.commit(1, spelled(" tri"))
    assert inner.told == []  # the drafter's text goes on that way
    ids = drafter.draft(3)
    assert (b" The tri" + TEXT.target.text(ids)).startswith(b" The triangle moves")
    assert ids[-1] == spelled(" moves")[0] or END_ID in ids


def test_a_commit_inside_a_character_waits_for_nothing() -> None:
    drafter, _ = made(TEXT, " é up")
    e_acute = spelled(" é")
    assert len(e_acute) == 3  # a space, two bytes
    drafter.commit(0, e_acute[:2])
    assert drafter.draft(1) == e_acute[2:]
    drafter.commit(2, spelled("è")[1:])  # the same first byte, another character
    assert drafter.text == " è".encode()
    assert drafter.draft(1) != []


@BOTH
def test_rolled_back_to_the_last_common_boundary(way: CrossVocabulary) -> None:
    drafter, inner = made(way, " The small red circle moves up.")
    drafter.draft(4)
    drafter.commit(2, spelled(" blue"))
    (position, ids), own = inner.told[0], way.own
    assert own.text(inner.ids[:position]) == b" The small"
    assert own.text(ids) == b" blue"
    assert drafter.draft(1) != []


@BOTH
def test_an_end_inside_a_commit_is_the_end(way: CrossVocabulary) -> None:
    drafter, _ = made(way, " The circle moves up.")
    drafter.draft(3)
    drafter.commit(1, [END_ID])
    assert drafter.draft(4) == []


@BOTH
def test_an_end_that_the_target_does_not_choose_is_taken_back(way: CrossVocabulary) -> None:
    drafter, _ = made(way, " No.")
    ids = drafter.draft(9)
    assert ids[-1] == END_ID
    drafter.commit(len(ids) - 1, spelled(" It"))
    assert drafter.draft(1) != []
    assert drafter.text.startswith(b" No. It")


def test_special_ids_of_the_target_have_no_text_and_do_no_harm() -> None:
    drafter, _ = made(TEXT, " The circle moves")
    drafter.commit(0, [0, *spelled(" The")])
    assert drafter.draft(1) == spelled(" circle")


@BOTH
def test_a_commit_with_a_gap_is_refused(way: CrossVocabulary) -> None:
    drafter, _ = made(way, " No.")
    with pytest.raises(SessionError, match="position 3"):
        drafter.commit(3, [5])


def test_an_answer_that_the_drafter_can_not_spell_silences_it() -> None:
    words = llama_like()
    poor = Tokenizer(type(words).from_str(words.to_str().replace('"byte_fallback":true', '"byte_fallback":false')))
    across = CrossVocabulary(Spelling(poor), Spelling(TARGET), TARGET, Way.TEXT, frozenset({2}))
    broken = [None if data is not None and len(data) == 1 and data > b"\x7f" else data for data in across.own.pieces]
    across.own.pieces = tuple(broken)
    across.own._bytes = {}
    inner = Scripted(across, b" ab")
    drafter = TextDrafter(inner, inner, across)
    drafter.commit(0, spelled(" é")[:2])
    assert drafter.lost
    assert drafter.draft(3) == []


# --------------------------------------------------------------------------------------------- properties

SAYING = st.lists(
    st.sampled_from([" The", " circle", " triangle", " stands", " still.", " still", ".", ",", " é", "你", " a", "s"]),
    max_size=7,
).map("".join)


@BOTH
@settings(max_examples=150, deadline=None)
@given(wants=SAYING, says=SAYING, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
@example(wants=" The circle stands still.", says=" The circle stands still,", sizes=[4], data=None)
def test_any_answer_is_reached_and_a_drafter_taken_back_is_like_a_new_one(
    way: CrossVocabulary, wants: str, says: str, sizes: list[int], data: st.DataObject | None
) -> None:
    """The target's answer is `says`, however it spells it; the drafter wants to say `wants`."""
    drafter, inner = made(way, wants)
    answer = [*_spelled_somehow(says, data), END_ID]
    committed: list[int] = []
    turns = 0
    while committed != answer:
        drafted = drafter.draft(sizes[turns % len(sizes)])
        turns += 1
        assert way.own.text(inner.ids).startswith(drafter.text)
        assert drafter.own == inner.ids
        left = answer[len(committed) :]
        right = next((i for i, (a, b) in enumerate(zip(drafted, left, strict=False)) if a != b), len(drafted))
        begun = len(committed)
        committed = answer[: begun + right + 1]
        drafter.commit(begun, committed[begun:])
        assert drafter.ids[: len(committed)] == committed
        if len(inner.told) and not drafter.complete:
            fresh, _ = made(way, wants)
            fresh.commit(0, committed)
            copy, _ = made(way, wants)
            copy.inner.ids = list(inner.ids)  # type: ignore[attr-defined]
            copy.ids, copy.own = list(drafter.ids), list(drafter.own)
            if isinstance(copy, PiecesDrafter) and isinstance(drafter, PiecesDrafter):
                copy._at = drafter._at
            if drafter.ids == committed and way.own.text(drafter.own) == drafter.text:
                assert copy.draft(3) == fresh.draft(3)
    assert drafter.draft(2) == []


def _spelled_somehow(text: str, data: st.DataObject | None) -> list[int]:
    """A spelling of the text: the tokenizer's own, or one with cuts at any place."""
    if data is None:
        return spelled(text)
    raw = text.encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=2))
    parts = [raw[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(raw)], strict=True)]
    return [index for part in parts for index in TEXT.target.spell(part) or []]


# ---------------------------------------------------------------------------------- which vocabulary it is


def test_equal_hashes_need_nothing() -> None:
    known = vocabularies(TARGET, [TARGET], Way.TEXT, frozenset({2}))
    assert known.targets == ()
    assert known.speaking(TARGET.hash) is None
    assert known.speaking("") is None


def test_the_hash_decides() -> None:
    known = vocabularies(OTHER, [TARGET], Way.PIECES, frozenset({EOS}))
    words = known.speaking(TARGET.hash)
    assert words is not None and words.way is Way.PIECES and words.target.hash == TARGET.hash
    assert known.speaking(OTHER.hash) is None
    assert known.speaking("") is words  # not told yet: the one that was named
    with pytest.raises(MismatchError, match="--target-tokenizer"):
        known.speaking("another")


class Cloud:
    """Tells who it is, and counts how often it was asked."""

    def __init__(self, tokenizer: str) -> None:
        self.tokenizer = tokenizer
        self.asked = 0

    async def info(self, timeout: float) -> ServerInfo:
        self.asked += 1
        return ServerInfo(1, "target", "", self.tokenizer, 576, 8, 8, (2,), 4, 100, 100, 16, 1 << 20, 1 << 20)


async def test_the_cloud_is_asked_only_where_it_matters() -> None:
    cloud = Cloud(TARGET.hash)
    told = TargetHash(cloud.info)
    assert await told.speaking(Vocabularies(TARGET.hash)) is None
    assert cloud.asked == 0
    known = vocabularies(OTHER, [TARGET], Way.TEXT, frozenset({EOS}))
    assert await told.speaking(known) is known.targets[0]
    assert await told.speaking(known) is known.targets[0]
    assert cloud.asked == 1


async def test_another_cloud_is_found_out() -> None:
    cloud = Cloud("unknown")
    told = TargetHash(cloud.info)
    known = vocabularies(OTHER, [TARGET], Way.TEXT, frozenset({EOS}))
    with pytest.raises(MismatchError):
        await told.speaking(known)
    cloud.tokenizer = TARGET.hash
    assert await told.speaking(known) is known.targets[0]
    cloud.tokenizer = OTHER.hash
    told.forget()
    assert await told.speaking(known) is None
