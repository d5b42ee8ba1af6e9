"""What the drafter goes on with behind its own misses: the states that serving really sees there.

Extracted states lie along the target's answer. An edge doesn't know that answer yet: from its first wrong token on it
goes on along its own, until a commit sets it right. For every position at which the drafter's choice isn't the
target's, this keeps the states of its own continuation, as far as `DEPTH` positions.

They lie beside the chunks, one file for each (`own-00000.safetensors`), for R misses with L states together:

- `at` int64 [R]: positions of the misses, counted through the chunk
- `lens` int32 [R]: states behind each
- `states` [L, Hd]: in half precision; the first one behind a miss is that of the position after it
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.errors import ModelError
from training.alignment.chunks import Chunk, load_chunk, read_index
from training.alignment.prompted import Prompted
from training.attention import ATTENTION_NAME
from training.data.batches import Pair
from training.models import DrafterLearner
from training.objective import Prefix
from training.tokenizer import EOS

DEPTH = 8
"""Positions behind a miss that are kept: an edge rarely drafts on for longer before it hears of it."""
_AT_ONCE = 40  # continuations in one forward

Pictures = Callable[[np.ndarray], Tensor]
"""Pixels [B, 5, 3, S, S] of the scenes with these seeds."""


@dataclass(frozen=True, slots=True)
class _Miss:
    """One miss: where it is in the chunk, the question, the answer up to the miss and the drafter's token there."""

    at: int
    prompt: Sequence[int]
    said: tuple[int, ...]
    room: int  # positions of the target's answer behind it
    guess: tuple[int, ...]  # how the target goes on


class RollOut:
    """Runs a drafter on behind its misses."""

    def __init__(self, drafter: DrafterLearner, prefix: Prefix, pictures: Pictures) -> None:
        """Use `drafter` (in eval mode) on scenes whose `pictures` these are."""
        drafter.language.set_attn_implementation(ATTENTION_NAME)
        self._drafter, self._prefix, self._pictures = drafter, prefix, pictures

    @torch.inference_mode()
    def chunk(self, chunk: Chunk) -> dict[str, Tensor]:
        """The tensors of a chunk's file."""
        found: list[tuple[int, Tensor]] = []
        for seed, misses in groupby(_misses(chunk), key=lambda one: one[0]):
            prompted = Prompted(self._drafter, self._prefix, self._pictures(np.array([seed]))[0])
            rows = [miss for _, miss in misses]
            for first in range(0, len(rows), _AT_ONCE):
                found += _behind(prompted, rows[first : first + _AT_ONCE])
        width = chunk.tensors["drafter_hidden"].shape[1]
        states = [states for _, states in found]
        return {
            "at": torch.tensor([at for at, _ in found], dtype=torch.int64),
            "lens": torch.tensor([len(rows) for rows in states], dtype=torch.int32),
            "states": torch.cat(states) if states else torch.empty(0, width, dtype=torch.float16),
        }


def _behind(prompted: Prompted, misses: list[_Miss]) -> list[tuple[int, Tensor]]:
    """States behind each miss. The target's way on is the first guess at the drafter's; few rounds settle it."""
    guesses = [list(miss.guess) for miss in misses]
    found: dict[int, Tensor] = {}
    while len(found) < len(misses):
        open_ = [i for i in range(len(misses)) if i not in found]
        pairs = [Pair(list(misses[i].prompt), [*misses[i].said, *guesses[i]]) for i in open_]
        for i, row in zip(open_, prompted.run(pairs), strict=True):
            behind = len(misses[i].said)
            own = _until_end(row.chosen[behind:])
            if own == guesses[i][: len(own)]:
                found[i] = row.hidden[behind : behind + len(own)].half()
            else:
                guesses[i] = [*own, *([EOS] * (len(guesses[i]) - len(own)))]
    return [(miss.at, found[i]) for i, miss in enumerate(misses)]


def _until_end(ids: Sequence[int]) -> list[int]:
    return list(ids[: ids.index(EOS) + 1]) if EOS in ids else list(ids)


def _misses(chunk: Chunk) -> Iterator[tuple[int, _Miss]]:
    """Seed of the scene and the miss, for all misses that something follows, in order."""
    starts, prompts = chunk.starts.tolist(), chunk.prompts()
    ids, own = chunk.tensors["target_ids"].tolist(), chunk.tensors["drafter_ids"].tolist()
    for sample, seed in enumerate(chunk.tensors["scenes"].tolist()):
        start, end = starts[sample], starts[sample + 1]
        for at in range(start, end - 1):
            if own[at] != ids[at] and own[at] != EOS:
                guess = tuple(ids[at + 1 : min(end, at + 1 + DEPTH)])
                yield seed, _Miss(at, prompts[sample], (*ids[start:at], own[at]), len(guess), guess)


def write_rollouts(folder: Path, roll: RollOut, tick: Callable[[int, int], None], chunks: int | None = None) -> int:
    """Write the files of the first `chunks` chunks (all by default) that aren't there yet; returns how many misses.

    Args:
        folder: of extracted states.
        roll: with the drafter they were extracted from.
        tick: told the number of chunks done, and of all.
        chunks: how many chunks.
    """
    entries = read_index(folder).chunks[:chunks]
    count = 0
    for number, entry in enumerate(entries):
        path = _path(folder, number)
        if not path.exists():
            tensors = roll.chunk(load_chunk(folder, entry))
            part = path.with_suffix(".part")
            save_file(tensors, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
            count += len(tensors["at"])
        tick(number + 1, len(entries))
    return count


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One chunk's continuations: `places` maps a miss (its position in the chunk) to its rows of `states` fp32."""

    places: dict[int, tuple[int, int]]
    states: Tensor

    def along(self, teacher: Tensor, start: int, misses: Sequence[int], heard: int) -> tuple[Tensor, int]:
        """The states of one answer as its cloud holds them, if the edge has heard of its first `heard` tokens.

        Args:
            teacher: states [n, Hd] along the target's answer.
            start: the answer's first position in the chunk.
            misses: positions in the answer at which the drafter is wrong, in order.
            heard: tokens that were committed when the edge drafted these.

        Returns:
            The states [n, Hd], and how many of them are known: behind a miss they end after `DEPTH`.
        """
        miss = next((at for at in misses if at >= heard), None)
        if miss is None:
            return teacher, len(teacher)
        first, count = self.places.get(start + miss, (0, 0))
        count = min(count, len(teacher) - miss - 1)
        rows = teacher.clone()
        rows[miss + 1 : miss + 1 + count] = self.states[first : first + count]
        return rows, miss + 1 + count


def load_rollouts(folder: Path, number: int) -> Rollouts:
    """Of the chunk with this number.

    Raises:
        ModelError: there are none.
    """
    path = _path(folder, number)
    if not path.exists():
        raise ModelError(f"{folder} has no continuations for chunk {number}: run `eventspec-train rollouts` first")
    tensors = load_file(path)
    ends = tensors["lens"].long().cumsum(0).tolist()
    spans = zip([0, *ends[:-1]], tensors["lens"].tolist(), strict=True) if ends else iter(())
    return Rollouts(dict(zip(tensors["at"].tolist(), spans, strict=True)), tensors["states"].float())


def rolled_chunks(folder: Path) -> int:
    """How many chunks, from the first one on, have their continuations."""
    count = 0
    while _path(folder, count).exists():
        count += 1
    return count


def _path(folder: Path, number: int) -> Path:
    return folder / f"own-{number:05d}.safetensors"
