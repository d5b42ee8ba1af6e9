"""The bytes behind a vocabulary's ids, and ids for bytes: what two different vocabularies have in common is text.

A tokenizer's `decode` and `encode` are made for whole texts: they strip a leading space, hide bytes that aren't a
character yet, and read `</s>` in a text as the end of an answer. Here ids and bytes correspond exactly:

    Spelling(tokenizer).text(ids)        bytes of ids; those of a sequence are those of its ids, one after the other
    Spelling(tokenizer).spell(data)      the ids that the tokenizer itself would use, inside an answer
    Spelling(tokenizer).settled(data)    bytes whose spelling nothing that follows can change
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import tokenizers

from common.errors import ModelError
from common.tokenizer import Tokenizer

_ANCHORS = (":", "\n", "|", "x")  # what an answer may follow; tried in this order
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = 0x20
_WHITESPACE = tuple(chr(code).encode() for code in (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680)) + tuple(
    chr(code).encode() for code in (*range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
)


class Spelling:
    """Bytes of ids and ids of bytes, inside an answer.

    Attributes:
        eos_id: the id that ends an answer; None if the vocabulary has none.
        pieces: bytes of each id; None for special ones, which have no text.
        fallback: ids that stand for single bytes of what no piece has (`<0xC3>`).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.hash = tokenizer.hash
        self.eos_id = tokenizer.eos_id
        self.pieces = _pieces(tokenizer)
        self._literal = tokenizers.Tokenizer.from_str(tokenizer.raw.to_str())
        self._literal.encode_special_tokens = True  # "</s>" in a text is text
        self._anchors = [(anchor, self._encode(anchor)) for anchor in _ANCHORS]
        fallback = {int(m[1], 16): i for i, name in _names(tokenizer) if (m := _BYTE.fullmatch(name))}
        self.fallback = frozenset(fallback.values())
        single = {data[0]: i for i, data in enumerate(self.pieces) if data is not None and len(data) == 1}
        self._bytes = single | {value: i for value, i in fallback.items() if self.pieces[i] == bytes([value])}
        self._across = frozenset(split for data in self.pieces if data is not None for split in _splits(data))

    def text(self, ids: Sequence[int]) -> bytes:
        """Bytes of `ids`; ids without text, or outside the vocabulary, have none."""
        known = len(self.pieces)
        return b"".join(self.pieces[i] or b"" for i in ids if 0 <= i < known)

    def spell(self, data: bytes) -> list[int] | None:
        """Ids whose text is `data`, as the tokenizer would spell it inside an answer.

        Bytes that aren't whole characters become ids of single bytes.

        Returns:
            None if the vocabulary can't spell it.
        """
        ids: list[int] = []
        marked = data.decode("utf-8", "surrogateescape")  # what isn't UTF-8 becomes lone surrogates
        for broken, run in groupby(marked, lambda char: "\udc80" <= char <= "\udcff"):
            part = "".join(run)
            found = self._spell_bytes(part) if broken else self._spell_text(part)
            if found is None:
                return None
            ids += found
        return ids

    def behind(self, ids: Sequence[int], data: bytes) -> list[int] | None:
        """Ids for `data` behind an answer of `ids`, as the tokenizer would have gone on; None if it can't spell it.

        Only what lies behind the last settled boundary of `ids` is spelled again. Where the tokenizer would have
        spelled that otherwise (the answer stops within a word, say), `data` is spelled by itself.
        """
        start = self._boundary(ids)
        tail = list(ids[start:])
        whole = self.spell(self.text(tail) + data)
        if whole is not None and whole[: len(tail)] == tail:
            return whole[len(tail) :]
        return self.spell(data)

    def settled(self, data: bytes, start: int = 0) -> int:
        """Length of the longest beginning of `data`, beyond `start`, that can be spelled by itself; `start` if none.

        It ends before a space that follows something else, where no piece of the vocabulary lies across: whatever
        follows, `spell(data + more)` begins with `spell(data[:settled])`.
        """
        return next((at for at in range(len(data) - 1, start, -1) if self._separates(data, at)), start)

    def _boundary(self, ids: Sequence[int]) -> int:
        """Index of the last of `ids` that begins where `settled` may end; 0 if none does."""
        data = b""
        for index in range(len(ids) - 1, 0, -1):
            piece = self.text(ids[index : index + 1])
            data = piece + data
            if piece[:1] == b" " and self._separates(self.text(ids[max(0, index - 8) : index]) + data, -len(data)):
                return index
        return 0

    def _separates(self, data: bytes, at: int) -> bool:
        at = at if at >= 0 else len(data) + at
        if at < 1 or data[at] != _SPACE or data[:at].endswith(_WHITESPACE):
            return False
        before, after = data[:at], data[at:]
        return not any(
            before.endswith(left) and (after.startswith(right) or right.startswith(after))
            for left, right in self._across
        )

    def _spell_text(self, text: str) -> list[int] | None:
        """What a text's tokens are behind an anchor that they don't merge with."""
        for anchor, known in self._anchors:
            ids = self._encode(anchor + text)
            if ids[: len(known)] == known and self.text(ids[len(known) :]) == text.encode():
                return ids[len(known) :]
        return None

    def _spell_bytes(self, escaped: str) -> list[int] | None:
        ids = [self._bytes.get(ord(char) - 0xDC00) for char in escaped]
        return None if None in ids else [index for index in ids if index is not None]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._literal.encode(text, add_special_tokens=False).ids
        return ids


def _names(tokenizer: Tokenizer) -> list[tuple[int, str]]:
    return sorted((index, name) for name, index in tokenizer.raw.get_vocab(with_added_tokens=True).items())


def _pieces(tokenizer: Tokenizer) -> tuple[bytes | None, ...]:
    """Bytes of every id; None where it has no text."""
    shape = json.loads(tokenizer.raw.to_str())
    kinds = set(_kinds(shape.get("decoder")))
    if not kinds:
        raise ModelError("this tokenizer has no decoder, so ids can't be turned into text: copy the model's own files")
    names = _names(tokenizer)
    table: list[bytes | None] = [None] * (names[-1][0] + 1)
    characters = _byte_characters() if "ByteLevel" in kinds else {}
    added = tokenizer.raw.get_added_tokens_decoder()
    for index, name in names:
        byte = _BYTE.fullmatch(name) if "ByteFallback" in kinds else None
        if index in tokenizer.special_ids:
            continue
        if byte is not None:
            table[index] = bytes([int(byte[1], 16)])
        elif index in added:
            table[index] = name.encode()
        elif characters:
            table[index] = bytes(characters[char] for char in name if char in characters)
        else:
            table[index] = _decoded(tokenizer, index)
    return tuple(table)


def _decoded(tokenizer: Tokenizer, index: int) -> bytes:
    """Text of one id in the middle of an answer."""
    anchor, text = tokenizer.anchor
    return tokenizer.decode([anchor, index])[len(text) :].encode()


def _kinds(decoder: dict[str, object] | None) -> Iterator[str]:
    """Types of a decoder and of those that it is made of."""
    if decoder is None:
        return
    yield str(decoder["type"])
    parts = decoder.get("decoders")
    for part in parts if isinstance(parts, list) else []:
        yield from _kinds(part)


def _splits(piece: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The halves of a piece at each space that follows something else."""
    for at in range(1, len(piece)):
        if piece[at] == _SPACE and not piece[:at].endswith(_WHITESPACE):
            yield piece[:at], piece[at:]


def _byte_characters() -> dict[str, int]:
    """The characters that stand for bytes in byte-level vocabularies (GPT-2's): printable ones for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in plain]
    return {chr(v): v for v in plain} | {chr(256 + place): v for place, v in enumerate(others)}
