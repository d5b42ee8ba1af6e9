"""Drafts of several tokens from an adapter that reads the target's states (L5F): known up to the base, guessed behind.

Two things set such drafts apart. The target's states end at the base, so deeper positions read the adapter's own
guesses. And the edge goes on along its own ids, so behind the first position at which those are wrong the drafter's
states belong to another text: a draft counts as lost from there on, which is a lower bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from common.adapters import FusedAdapter
from training.alignment.batches import Batch, make_batch
from training.alignment.chunks import load_chunks
from training.alignment.measure import Heads
from training.tokenizer import VOCABULARY


@torch.inference_mode()
def roll(states: Path, adapter: FusedAdapter, heads: Heads, samples: int, draft: int) -> dict[str, Any]:
    """Acceptance by depth, and committed tokens a verification, over the first `samples` samples.

    Args:
        states: extracted from held-out scenes.
        adapter: an L5F.
        heads: of both models.
        samples: how many answers.
        draft: tokens of a draft.
    """
    chunk = next(load_chunks(states))
    batch = make_batch(chunk, range(min(samples, len(chunk))), adapter.config.layers)
    held = depths(adapter, batch, heads, draft)
    raw = (batch.drafted == batch.ids).numpy()
    mask = batch.mask.numpy()
    counts = [0, 0]
    for flags, own, row in zip(held, raw, mask, strict=True):
        length = int(row.sum())
        at = 0
        while at < length:
            run = 0
            while run < draft and at + run < length and flags[at, run]:
                run += 1
                if not own[at + run - 1]:
                    break
            counts[0] += 1
            at += run + 1
    counts[1] = int(mask.sum())
    within = [mask[:, depth:] for depth in range(draft)]
    by_depth = [float(held[:, : part.shape[1], depth][part].mean()) for depth, part in enumerate(within)]
    return {
        "samples": len(mask),
        "draft": draft,
        "acceptance_by_depth": by_depth,
        "mean_length_at_least": counts[1] / counts[0],
    }


def depths(adapter: FusedAdapter, batch: Batch, heads: Heads, draft: int) -> npt.NDArray[np.bool_]:
    """Whether the draft at base b and depth i is the target's token, those before it being right, [N, n, depth]."""
    count, longest = batch.ids.shape
    held = np.zeros((count, longest, draft), bool)
    for base in range(longest):
        rows = batch.mask[:, base]
        known, fused = batch.previous[rows, : base + 1], batch.states[rows]
        for depth in range(min(draft, longest - base)):
            end = base + depth + 1
            guess = adapter(fused[:, :end], previous=known)[:, -1]
            choice = _choose(heads, guess)
            held[rows.numpy(), base, depth] = (choice == batch.ids[rows, end - 1]).numpy()
            known = torch.cat([known, guess[:, None]], dim=1)
    return held


def _choose(heads: Heads, guess: Tensor) -> Tensor:
    logits: Tensor = heads.target(guess)
    return logits[:, :VOCABULARY].argmax(-1)
