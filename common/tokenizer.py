"""Text to ids and back, over the `tokenizers` library alone: it imports neither torch nor transformers.

`Tokenizer.hash` is what the two sides compare: whether both models of a pair have the same vocabulary. Ids that a
model adds behind its vocabulary (Video-LLaVA's `<image>`, `<video>`, `<pad>`) aren't part of it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from common.errors import ModelError

_BYTE = re.compile("<0x[0-9A-F]{2}>")
_REPLACEMENT = "\ufffd"  # what incomplete UTF-8 decodes to
_MAX_PIECES = 4  # a character has at most four bytes, so at most this many tokens


class Tokenizer:
    """Ids of a text and text of ids, as a model's own tokenizer has them.

    Attributes:
        bos_id: the id that begins a prompt; None if the vocabulary has none.
        eos_id: the id that ends an answer; None if the vocabulary has none.
    """

    def __init__(self, raw: tokenizers.Tokenizer, *, bos: str = "<s>", eos: str = "</s>") -> None:
        self._raw = raw
        raw.no_padding()
        raw.no_truncation()
        self.bos_id: int | None = raw.token_to_id(bos)
        self.eos_id: int | None = raw.token_to_id(eos)

    @classmethod
    def from_folder(cls, folder: str | Path) -> "Tokenizer":
        """The tokenizer of a model folder: its `tokenizer.json`, or that of its parent folder.

        Raises:
            ModelError: there is none, or it can't be read.
        """
        folder = Path(folder)
        for place in (folder, folder.resolve().parent):
            path = place / "tokenizer.json"
            if path.is_file():
                return cls._from_file(path)
        if (folder / "tokenizer.model").is_file():
            raise ModelError(
                f"{folder} has only the SentencePiece file tokenizer.model: convert it once, with "
                "transformers' AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
        raise ModelError(f"neither {folder} nor its parent has a tokenizer.json: copy the model's there")

    @classmethod
    def _from_file(cls, path: Path) -> "Tokenizer":
        try:
            raw = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(
                f"{path} is not a tokenizer ({type(error).__name__}): copy or download it again"
            ) from error
        named = _special_names(path.parent / "tokenizer_config.json")
        return cls(raw, **named)

    @property
    def raw(self) -> tokenizers.Tokenizer:
        """The library's own object; copy it before changing how it behaves."""
        return self._raw

    def encode(self, text: str, *, bos: bool) -> list[int]:
        """Ids of `text`, with the beginning-of-sequence id first if `bos`.

        Raises:
            ModelError: `bos` is asked for and the vocabulary has none.
        """
        ids: list[int] = self._raw.encode(text, add_special_tokens=False).ids
        if not bos:
            return ids
        if self.bos_id is None:
            raise ModelError("this tokenizer has no beginning-of-sequence token: name it in tokenizer_config.json")
        return [self.bos_id, *ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens left out."""
        text: str = self._raw.decode(list(ids), skip_special_tokens=True)
        return text

    def settled(self, ids: Sequence[int]) -> str:
        """Text of `ids` that nothing that follows can change.

        Single bytes at the end are left out: as part of a longer run they may stand for another character, or for none.
        """
        end = len(ids)
        while end and (ids[end - 1] in self._byte_ids or ids[end - 1] in self.special_ids):
            end -= 1
        return self.decode(ids[:end]).rstrip(_REPLACEMENT)

    def stream(self) -> "TextStream":
        """A new stream that turns ids into text as they come."""
        return TextStream(self)

    def token_id(self, token: str) -> int | None:
        """The id of one token, tokens added behind the vocabulary included."""
        found: int | None = self._raw.token_to_id(token)
        return found

    @cached_property
    def vocab_size(self) -> int:
        """Number of ids in the vocabulary, without tokens added behind it."""
        size: int = self._raw.get_vocab_size(with_added_tokens=False)
        return size

    @cached_property
    def hash(self) -> str:
        """SHA-256 of vocabulary and merges: equal where two tokenizers give the same ids the same meaning."""
        model: dict[str, Any] = json.loads(self._raw.to_str())["model"]
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model.get("merges") or []]
        content = {"type": model.get("type"), "vocab": self._pairs, "merges": merges}
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _pairs(self) -> list[tuple[int, str]]:
        vocabulary: dict[str, int] = self._raw.get_vocab(with_added_tokens=False)
        return sorted((index, token) for token, index in vocabulary.items())

    @cached_property
    def _byte_ids(self) -> frozenset[int]:
        return frozenset(index for index, token in self._pairs if _BYTE.fullmatch(token))

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that `decode` leaves out."""
        added = self._raw.get_added_tokens_decoder()
        return frozenset(index for index, token in added.items() if token.special)

    @cached_property
    def anchor(self) -> tuple[int, str]:
        """An id with a letter as its text, for decoding the middle of a text."""
        for index, _ in self._pairs:
            text = self.decode([index])
            if text.isascii() and text.isalpha():
                return index, text
        raise ModelError("this tokenizer has no token that is a word: it can't be a language model's")


class TextStream:
    """Text that only grows: bytes of an unfinished character are held back until it is complete.

    Attributes:
        text: everything given out so far.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._held: list[int] = []
        self._begun = False
        self.text = ""

    def push(self, ids: Iterable[int]) -> str:
        """Take further ids; returns the text that is now certain."""
        new = ""
        for index in ids:
            if index in self._tokenizer.special_ids:
                continue
            self._held.append(index)
            piece = self._decode_held()
            if not piece.endswith(_REPLACEMENT) or len(self._held) >= _MAX_PIECES:
                new += self._release(piece)
        return new

    def finish(self) -> str:
        """The text of what is still held: an unfinished character becomes a replacement mark."""
        return self._release(self._decode_held()) if self._held else ""

    def _release(self, piece: str) -> str:
        self._held.clear()
        self._begun = True
        self.text += piece
        return piece

    def _decode_held(self) -> str:
        if not self._begun:  # the text's first token loses its leading space
            return self._tokenizer.decode(self._held)
        anchor, text = self._tokenizer.anchor
        return self._tokenizer.decode([anchor, *self._held])[len(text) :]


def _special_names(path: Path) -> dict[str, str]:
    """Names of the special tokens in a `tokenizer_config.json`, where they are strings or objects."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    names = {}
    for key in ("bos", "eos"):
        value = values.get(f"{key}_token") if isinstance(values, dict) else None
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            names[key] = value
    return names
