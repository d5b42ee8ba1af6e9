"""An L5F as it is served: the target's states end at the base, the drafter's go on along its own ids behind a miss.

A draft is made for a *base* (the committed length) by an edge that had *heard* of the answer's first tokens, perhaps
fewer: commits are under way. Up to the base the target's states are its own; deeper positions read the adapter's guess
at the position before. Guesses depend on guesses, so they are made in rounds: round k settles the k-th position behind
the base, and a few rounds settle nearly everything that is drafted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.adapters import FusedAdapter
from common.errors import SettingsError
from training.alignment.batches import Batch, Batches, shifted
from training.alignment.chunks import Chunk
from training.alignment.rollouts import Rollouts, load_rollouts, rolled_chunks

ROUNDS = 3
LAGS = (0.5, 0.2, 0.15, 0.1, 0.05)
"""How often the edge has heard of all but so many committed tokens."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """A batch whose states are those of drafts.

    Attributes:
        batch: with those states.
        bases: committed tokens of each answer, int64 [B].
        known: True where the drafter's state is known, bool [B, n].
    """

    batch: Batch
    bases: Tensor
    known: Tensor

    @property
    def drafted(self) -> Tensor:
        """Positions that the draft is about, bool [B, n]."""
        return self.known & (torch.arange(self.known.shape[1]) >= self.bases[:, None])


def drafts_of(
    chunk: Chunk, rollouts: Rollouts, samples: list[int], batch: Batch, bases: Tensor, heard: Tensor
) -> Drafts:
    """`batch`, which is of these samples, as drafts for `bases` [B] of edges that had heard of `heard` [B] tokens."""
    starts = chunk.starts.tolist()
    states, known = batch.states.clone(), torch.zeros_like(batch.mask)
    wrong = (batch.drafted != batch.ids) & batch.mask
    for row, sample in enumerate(samples):
        length = int(batch.mask[row].sum())
        misses = wrong[row].nonzero()[:, 0].tolist()
        states[row, :length], count = rollouts.along(
            batch.states[row, :length], starts[sample], misses, int(heard[row])
        )
        known[row, :count] = True
    return Drafts(replace(batch, states=states), bases, known & batch.mask)


class ServedBatches:
    """Batches of drafts with bases and lags by chance; a step's are a function of the seed and its number."""

    def __init__(self, batches: Batches, folder: Path, seed: int) -> None:
        """Drafts of `batches`, whose chunks are in `folder`.

        Raises:
            SettingsError: a chunk has no continuations.
        """
        if rolled_chunks(folder) < len(batches.index.chunks):
            raise SettingsError(
                f"{folder} has no continuations of all its chunks: run `eventspec-train rollouts` first"
            )
        self._batches, self._folder, self._seed = batches, folder, seed
        self._kept: tuple[int, Rollouts] | None = None

    def __call__(self, step: int, batch: Batch) -> Drafts:
        """This step's batch as drafts."""
        number, samples = self._batches.pick(step)
        rng = np.random.default_rng([self._seed, step, 0x5E7])
        lengths = batch.mask.sum(1)
        bases = (torch.from_numpy(rng.random(len(lengths))) * lengths).long()
        lags = torch.from_numpy(rng.choice(len(LAGS), len(lengths), p=LAGS))
        heard = (bases - lags).clamp(min=0)
        return drafts_of(self._batches.chunk(number), self._rollouts(number), samples, batch, bases, heard)

    def _rollouts(self, number: int) -> Rollouts:
        if self._kept is None or self._kept[0] != number:
            self._kept = number, load_rollouts(self._folder, number)
        return self._kept[1]


def guess(adapter: FusedAdapter, drafts: Drafts, rounds: int = ROUNDS) -> Tensor:
    """The adapter's states [B, n, Ht] for drafts; gradients flow through the last round alone."""
    batch = drafts.batch
    behind = torch.arange(batch.mask.shape[1]) > drafts.bases[:, None]
    previous = batch.previous
    for _ in range(rounds):
        with torch.no_grad():
            found: Tensor = adapter(batch.states, previous=previous)
        previous = torch.where(behind[..., None], shifted(found), batch.previous)
    last: Tensor = adapter(batch.states, previous=previous)
    return last
