"""Batches from chunks: any step's batch is a function of the seed and its number, with one chunk in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.errors import SettingsError
from training.alignment.chunks import Chunk, load_chunk, read_index


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded samples: [B, n] or [B, n, ...], zero behind each sample's end.

    Attributes:
        states: the drafter's states, [B, n, k * Hd], the last layer's last.
        target: the target's states, [B, n, Ht].
        previous: those one position before, zeros at position 0.
        ids: the target's tokens, int64 [B, n].
        fed: the token before each position (at position 0 the prompt's last), int64 [B, n].
        drafted: the drafter's own choices, int64 [B, n].
        mask: True where there is a position.
    """

    states: Tensor
    target: Tensor
    previous: Tensor
    ids: Tensor
    fed: Tensor
    drafted: Tensor
    mask: Tensor


def make_batch(chunk: Chunk, samples: Sequence[int], layers: int) -> Batch:
    """These samples of a chunk, with the drafter's last `layers` layers.

    Raises:
        SettingsError: the chunk has fewer layers.
    """
    states = chunk.padded("drafter_hidden", samples)
    if layers > 1:
        stored = chunk.tensors.get("drafter_layers")
        if stored is None or stored.shape[1] < layers:
            raise SettingsError(f"the chunks don't have {layers} layers: extract with --layers {layers}")
        states = chunk.padded("drafter_layers", samples)[:, :, -layers:].flatten(2)
    target = chunk.padded("target_hidden", samples)
    ids = chunk.padded("target_ids", samples).long()
    ends = (chunk.tensors["prompt_lens"].long().cumsum(0) - 1)[list(samples)]
    last = chunk.tensors["prompt_ids"][ends].long()
    return Batch(
        states=states,
        target=target,
        previous=shifted(target),
        ids=ids,
        fed=torch.cat([last[:, None], ids[:, :-1]], dim=1),
        drafted=chunk.padded("drafter_ids", samples).long(),
        mask=chunk.mask(samples),
    )


def shifted(states: Tensor) -> Tensor:
    """States [B, n, H] one position later, zeros at position 0."""
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)


def cut_short(batch: Batch, ends: Tensor) -> tuple[Batch, Tensor]:
    """Each answer up to position `ends` [B], and where that position is, bool [B, n].

    What looks at a whole chunk must be taught and judged so: along a whole answer, the states behind a position have
    been fed the very token that is to be drafted there. For the drafter's ids the chunk is what is committed, and the
    drafter's choice at the end.
    """
    places = torch.arange(batch.mask.shape[1])
    last = places == ends[:, None]
    drafted = torch.where(last, batch.drafted, batch.ids)
    return replace(batch, mask=batch.mask & (places <= ends[:, None]), drafted=drafted), last


class Batches:
    """Shuffled batches of a folder of chunks: chunks in a new order each epoch, samples within their chunk."""

    def __init__(self, folder: Path, size: int, seed: int, layers: int = 1) -> None:
        """Batches of `size` samples.

        Raises:
            ModelError: there are no chunks.
        """
        self._folder, self._size, self._seed, self._layers = folder, size, seed, layers
        self.index = read_index(folder)
        self._counts = [-(-entry.samples // size) for entry in self.index.chunks]
        self._kept: tuple[int, Chunk] | None = None

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return sum(self._counts)

    def __call__(self, step: int) -> Batch:
        """The batch of this step."""
        number, samples = self.pick(step)
        return make_batch(self.chunk(number), samples, self._layers)

    def pick(self, step: int) -> tuple[int, list[int]]:
        """This step's chunk and the samples of it."""
        epoch, at = divmod(step, self.per_epoch)
        for number in np.random.default_rng([self._seed, epoch]).permutation(len(self._counts)):
            if at < self._counts[number]:
                break
            at -= self._counts[number]
        order = np.random.default_rng([self._seed, epoch, int(number)]).permutation(self.index.chunks[number].samples)
        return int(number), order[at * self._size : (at + 1) * self._size].tolist()

    def chunk(self, number: int) -> Chunk:
        """The chunk with this number; the last one asked for is kept."""
        if self._kept is None or self._kept[0] != number:
            self._kept = number, load_chunk(self._folder, self.index.chunks[number])
        return self._kept[1]
