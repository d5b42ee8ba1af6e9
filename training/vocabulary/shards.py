"""The training data in another vocabulary: the same pictures, questions and answers, spelled anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from common.tokenizer import Tokenizer
from common.vocabulary import Spelling
from training.data.batches import Pair, Shards

_EVEN: Mapping[str, float] = MappingProxyType({})


class Respelled:
    """Turns pairs of one vocabulary into those of another."""

    def __init__(self, known: Tokenizer, wanted: Tokenizer) -> None:
        self._old, self._new = Spelling(known), Spelling(wanted)
        self._eos = wanted.eos_id
        self._cache: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, pair: Pair) -> Pair:
        """The same question and answer; what its places were about is left out."""
        return Pair(self._ids(pair.prompt), [*self._ids(pair.answer[:-1]), self._eos or 0])

    def _ids(self, ids: Sequence[int]) -> list[int]:
        key = tuple(ids)
        if key not in self._cache:
            self._cache[key] = self._new.spell(self._old.text(key)) or []
        return self._cache[key]


class RespelledShards(Shards):
    """`Shards` whose pairs are in another vocabulary."""

    def __init__(self, folder: Path, sense: str, known: Tokenizer, wanted: Tokenizer) -> None:
        super().__init__(folder, sense)
        self._respelled = Respelled(known, wanted)

    def pairs(self, scene: int, rng: np.random.Generator, favour: Mapping[str, float] = _EVEN) -> list[Pair]:
        """As `Shards.pairs`, in the other vocabulary."""
        return [self._respelled(pair) for pair in super().pairs(scene, rng, favour)]
