"""The tokenizer: ids and text, text as it comes, and what makes two tokenizers the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import ModelError
from common.tokenizer import Tokenizer
from tests.common.tokenizers import MERGES, WORDS, llama_like

TOKENIZER = Tokenizer(llama_like())
PIECES = 3 + 256 + len(WORDS)


def test_encode_and_decode() -> None:
    ids = TOKENIZER.encode("as ab你", bos=True)
    assert ids[0] == TOKENIZER.bos_id == 1
    assert TOKENIZER.eos_id == 2
    assert TOKENIZER.encode("as ab你", bos=False) == ids[1:]
    assert TOKENIZER.decode([*ids, 2]) == "as ab你"
    assert TOKENIZER.vocab_size == PIECES


@given(st.text(alphabet="ab s:\né你🎉x", max_size=20), st.lists(st.integers(0, 30), max_size=30))
@example("🎉🎉", [1] * 8)
@example("  ", [])
def test_a_streams_text_only_grows_and_ends_as_the_whole(text: str, cuts: list[int]) -> None:
    ids = [*TOKENIZER.encode(text, bos=True), 2]
    whole = TOKENIZER.decode(ids)
    stream, position, seen = TOKENIZER.stream(), 0, ""
    for cut in [*cuts, len(ids)]:
        seen += stream.push(ids[position : position + cut])
        position += cut
        assert stream.text == seen
        assert whole.startswith(seen)  # never half a character, never text that changes later
    seen += stream.finish()
    assert seen == stream.text == whole


@given(st.lists(st.integers(0, PIECES - 1), max_size=20))
def test_a_stream_takes_any_ids(ids: list[int]) -> None:
    stream = TOKENIZER.stream()
    text = "".join(stream.push([token]) for token in ids) + stream.finish()
    assert text == stream.text
    assert text.replace("\ufffd", "") == TOKENIZER.decode(ids).replace("\ufffd", "") or "\ufffd" in TOKENIZER.decode(
        ids
    )
    assert stream.finish() == ""


def test_unfinished_characters_are_held() -> None:
    first, second, third = (3 + byte for byte in "你".encode())
    stream = TOKENIZER.stream()
    assert [stream.push([token]) for token in (first, second, third)] == ["", "", "你"]
    assert stream.push([first]) == ""
    word = TOKENIZER.encode("ab", bos=False)
    assert stream.push(word) == "\ufffd ab"  # it never came


@given(st.lists(st.integers(0, PIECES - 1), max_size=24), st.integers(0, 24))
@example([*TOKENIZER.encode("ab", bos=True), 3 + 0x04, 3 + 0xE4], 4)  # the second byte makes the first one unreadable
def test_what_is_settled_never_changes(ids: list[int], cut: int) -> None:
    settled = TOKENIZER.settled(ids[:cut])
    assert TOKENIZER.decode(ids).startswith(settled)
    assert TOKENIZER.settled(ids).startswith(settled)


def test_words_are_settled_at_once() -> None:
    ids = TOKENIZER.encode("as ab", bos=True)
    assert TOKENIZER.settled(ids) == "as ab" == TOKENIZER.settled([*ids, 2])
    assert TOKENIZER.settled([*ids, *TOKENIZER.encode("你", bos=False)[:-1]]).startswith("as ab")


def test_equal_vocabularies_have_equal_hashes() -> None:
    target = Tokenizer(llama_like(added=("<image>", "<video>", "<pad>")))
    assert target.hash == TOKENIZER.hash
    assert target.vocab_size == TOKENIZER.vocab_size
    assert target.token_id("<video>") == PIECES + 1
    assert TOKENIZER.token_id("<video>") is None
    other_words = Tokenizer(llama_like(words=(*WORDS[:-1], "▁X")))
    swapped = Tokenizer(llama_like(words=(WORDS[1], WORDS[0], *WORDS[2:])))
    assert len({TOKENIZER.hash, other_words.hash, swapped.hash}) == 3


def test_hash_ignores_the_files_format(tmp_path: Path) -> None:
    raw = json.loads(llama_like().to_str())
    raw["model"]["merges"] = [" ".join(pair) for pair in MERGES]  # as older versions of the library write them
    raw["model"]["vocab"] = dict(reversed(raw["model"]["vocab"].items()))
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    assert Tokenizer.from_folder(tmp_path).hash == TOKENIZER.hash


def test_found_in_the_models_folder_or_its_parent(tmp_path: Path) -> None:
    child = tmp_path / "model"
    child.mkdir()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        Tokenizer.from_folder(child)
    (child / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(ModelError, match="convert"):
        Tokenizer.from_folder(child)
    llama_like().save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.from_folder(child).hash == TOKENIZER.hash
    llama_like(words=WORDS[:-1]).save(str(child / "tokenizer.json"))
    assert Tokenizer.from_folder(child).vocab_size == TOKENIZER.vocab_size - 1
    (child / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(ModelError, match="not a tokenizer"):
        Tokenizer.from_folder(child)


def test_special_tokens_may_have_other_names(tmp_path: Path) -> None:
    llama_like().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "ab"}, "eos_token": "gone"}))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.encode("s", bos=True)[0] == tokenizer.token_id("ab")
    assert tokenizer.eos_id is None


def test_it_needs_neither_torch_nor_transformers() -> None:
    code = "import sys, common.tokenizer; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
