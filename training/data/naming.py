"""Where an answer is about which thing: found by the full names in it ("small red circle"), for the binding labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from tokenizers import Tokenizer

from training.world.scenes import COLOURS, SHAPES, SIZES

Name = tuple[int, int, int]
"""Size, colour and shape, by their numbers."""


class Namer:
    """Finds names in token ids. Each word of a name is one token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        families = (SIZES, COLOURS, SHAPES)
        self._numbers = [
            {tokenizer.token_to_id(f"▁{word}"): number for number, word in enumerate(family)} for family in families
        ]

    def find(self, answer: Sequence[int], things: dict[Name, int]) -> dict[int, int]:
        """Ranks of things by places in the answer: before a thing's name begins, and where it ends."""
        sizes, colours, shapes = self._numbers
        found: dict[int, int] = {}
        for at in range(len(answer) - 2):
            size, colour, shape = sizes.get(answer[at]), colours.get(answer[at + 1]), shapes.get(answer[at + 2])
            if size is None or colour is None or shape is None:
                continue
            rank = things.get((size, colour, shape))
            if rank is not None:
                found |= {at - 1: rank, at + 2: rank}
        return found


def names_of(things: npt.NDArray[Any]) -> dict[Name, int]:
    """Names and ranks of a scene's things, from `thing_labels` [3, fields]; without names that two things share."""
    names: list[Name] = [(int(size), int(colour), int(shape)) for colour, shape, size in things[:, :3] if size >= 0]
    return {name: rank for rank, name in enumerate(names) if names.count(name) == 1}
