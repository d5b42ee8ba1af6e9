"""Bytes of ids and ids of bytes: exact, and settled where it is said to be."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from common.errors import ModelError
from common.shipped import shipped_other_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.vocabulary import Spelling
from tests.common.tokenizers import MERGES, WORDS, llama_like


def metaspace() -> tokenizers.Tokenizer:
    """Llama's newer layout, which has no normalizer, and `ab c` as one piece that lies across a space."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), *WORDS, "c", "ab▁", "ab▁c"]
    merges = [*MERGES, ("ab", "▁"), ("ab▁", "c")]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=merges, unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in pieces[:3]])
    return tokenizer


def unigram() -> tokenizers.Tokenizer:
    """A SentencePiece vocabulary of the other kind."""
    scores = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    scores += [(f"<0x{value:02X}>", -20.0) for value in range(256)]
    scores += [(piece, -2.0 - 0.37 * i / len(piece)) for i, piece in enumerate([*WORDS, "▁the", "th", "the", "bab"])]
    tokenizer = tokenizers.Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name, _ in scores[:3]])
    return tokenizer


SPELLINGS = {
    "tiny": Spelling(Tokenizer.from_folder(shipped_target())),
    "llama": Spelling(Tokenizer(llama_like())),
    "metaspace": Spelling(Tokenizer(metaspace())),
    "bytes": Spelling(Tokenizer.from_folder(shipped_other_drafter())),
    "unigram": Spelling(Tokenizer(unigram())),
}
KINDS = pytest.mark.parametrize("kind", list(SPELLINGS))
TEXT = st.text(alphabet=st.sampled_from("aabbs  .,:\n?é你🙂thec</>\u00a0\u0301"), max_size=24)
WORDS_SAID = (" The", " small", " circle", " stands", " still", ".", ",", " a", " ab", "b c", "s")
PHRASE = st.lists(st.sampled_from(WORDS_SAID))


def possible(kind: str, text: str) -> str:
    """Unigram vocabularies find the names of special ids in a text: such a text can't be spelled."""
    assume(kind != "unigram" or not any(name in text for name in ("<s>", "</s>")))
    return text


@KINDS
@settings(max_examples=120, deadline=None)
@given(text=TEXT | PHRASE.map("".join))
@example(text=" </s><s>")
@example(text="  two  spaces\n\n")
@example(text="")
def test_spelling_a_text_gives_ids_of_exactly_that_text(kind: str, text: str) -> None:
    spelling, data = SPELLINGS[kind], possible(kind, text).encode()
    ids = spelling.spell(data)
    assert ids is not None
    assert spelling.text(ids) == data
    assert spelling.eos_id not in ids


@KINDS
@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=12))
def test_bytes_that_are_no_text_are_spelled_too(kind: str, data: bytes) -> None:
    spelling = SPELLINGS[kind]
    ids = spelling.spell(data)
    assert ids is not None
    assert spelling.text(ids) == data


@KINDS
@settings(max_examples=250, deadline=None)
@given(text=TEXT | PHRASE.map("".join), more=TEXT | PHRASE.map("".join))
@example(text="ab ab", more="c")
@example(text=" x \u00a0", more=" y")
def test_nothing_that_follows_changes_what_is_settled(kind: str, text: str, more: str) -> None:
    possible(kind, text + more)
    spelling, data = SPELLINGS[kind], text.encode()
    until = spelling.settled(data)
    ids = spelling.spell(data[:until])
    whole = spelling.spell(data + more.encode())
    assert ids is not None and whole is not None
    assert whole[: len(ids)] == ids


@KINDS
@settings(max_examples=120, deadline=None)
@given(text=TEXT | PHRASE.map("".join), more=TEXT | PHRASE.map("".join), cut=st.integers(0, 30))
def test_ids_behind_an_answer_continue_its_text(kind: str, text: str, more: str, cut: int) -> None:
    """Whatever the answer's own spelling is, and wherever it stops; as the tokenizer would, where it can."""
    possible(kind, text + more)
    spelling = SPELLINGS[kind]
    whole = spelling.spell((text + more).encode())
    known = spelling.spell(text.encode())
    assert whole is not None and known is not None
    behind = spelling.behind(known, more.encode())
    assert behind is not None
    assert spelling.text(behind) == more.encode()
    begun = whole[:cut]
    rest = (text + more).encode()[len(spelling.text(begun)) :]
    assert spelling.behind(begun, rest) == whole[cut:]


def test_a_settled_text_ends_before_a_word() -> None:
    tiny = SPELLINGS["tiny"]
    assert tiny.settled(b" The small circ") == len(b" The small")
    assert tiny.settled(b" The small circ", len(b" The small")) == len(b" The small")
    assert tiny.settled(b" The") == 0  # the first space follows nothing
    assert tiny.settled(b"a  b") == 1
    assert tiny.settled(b"") == 0


def test_a_piece_across_a_space_unsettles_it() -> None:
    across = SPELLINGS["metaspace"]
    assert across.settled(b"s ab c") == 1  # "ab c" is one piece
    assert across.settled(b"s ab ") == 1  # and may become one
    assert across.settled(b"s as b") == 4


def test_special_ids_have_no_text() -> None:
    for spelling in SPELLINGS.values():
        assert spelling.eos_id is not None
        assert spelling.text([spelling.eos_id, -1, 10**6]) == b""


def test_ids_of_bytes_are_told_from_pieces() -> None:
    tiny, plain = SPELLINGS["tiny"], SPELLINGS["bytes"]
    assert len(tiny.fallback) == 256
    assert not plain.fallback
    assert tiny.spell(b".") != [index for index in tiny.fallback if tiny.pieces[index] == b"."]


def test_a_vocabulary_that_can_not_spell_says_so() -> None:
    words = tokenizers.Tokenizer(models.BPE(vocab={"a": 0, "b": 1, ":": 2}, merges=[]))
    words.decoder = decoders.Fuse()
    spelling = Spelling(Tokenizer(words))
    assert spelling.spell(b"ab") == [0, 1]
    assert spelling.spell(b"ac") is None
    assert spelling.spell(b"\xff") is None
    assert spelling.behind([0], b"c") is None


def test_a_tokenizer_without_a_decoder_is_refused() -> None:
    with pytest.raises(ModelError, match="decoder"):
        Spelling(Tokenizer(tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))))
