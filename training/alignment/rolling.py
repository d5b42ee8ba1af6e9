"""Drafts of several tokens from an adapter that reads the target's states (L5F), as serving makes them.

The target's states are known up to the base, deeper positions read the adapter's own guesses. Behind a token of its own
that is wrong the drafter goes on along its own text, and so do its states: they are taken from its continuations
(`training.alignment.rollouts`). So what is counted here is what the runtime accepts, not a bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from common.adapters import FusedAdapter
from training.alignment.batches import make_batch
from training.alignment.chunks import load_chunk, read_index
from training.alignment.measure import Heads
from training.alignment.rollouts import load_rollouts
from training.alignment.serving import drafts_of, guess
from training.tokenizer import VOCABULARY

Flags = npt.NDArray[np.bool_]
LAGS = (0, 1, 3)


@torch.inference_mode()
def roll(states: Path, adapter: FusedAdapter, heads: Heads, samples: int, draft: int) -> dict[str, Any]:
    """Acceptance by depth, and committed tokens a verification, over the first `samples` samples.

    Args:
        states: extracted from held-out scenes, with their continuations.
        adapter: an L5F of one layer.
        heads: of both models.
        samples: how many answers, of the first chunk.
        draft: tokens of a draft.
    """
    chunk = load_chunk(states, read_index(states).chunks[0])
    rollouts = load_rollouts(states, 0)
    rows = list(range(min(samples, len(chunk))))
    batch = make_batch(chunk, rows, adapter.config.layers)
    count, longest = batch.ids.shape
    found: dict[str, Any] = {"samples": count, "draft": draft}
    for lag in LAGS:
        held, known = (np.zeros((count, longest, draft), bool) for _ in range(2))
        for base in range(longest):
            bases = torch.full((count,), base)
            drafts = drafts_of(chunk, rollouts, rows, batch, bases, (bases - lag).clamp(min=0))
            logits = heads.target(guess(adapter, drafts, rounds=draft - 1))[..., :VOCABULARY]
            right = (logits.argmax(-1) == batch.ids).numpy()
            for depth in range(min(draft, longest - base)):
                held[:, base, depth] = right[:, base + depth]
                known[:, base, depth] = drafts.known[:, base + depth].numpy()
        found[f"heard_all_but_{lag}"] = {
            "acceptance_by_depth": _by_depth(held, known),
            "mean_length": _mean_length(held & known, batch.mask.numpy()),
        }
    return found


def _by_depth(held: Flags, known: Flags) -> list[float]:
    """Share right at each depth, among drafts whose tokens before are right."""
    reached = np.cumprod(np.concatenate([np.ones_like(held[..., :1]), held[..., :-1]], axis=-1), axis=-1).astype(bool)
    there = known & reached
    shares = (held & there).sum((0, 1)) / np.maximum(1, there.sum((0, 1)))
    return [float(share) for share in shares]


def _mean_length(held: Flags, mask: Flags) -> float:
    """Committed tokens a verification; held [N, n, draft]."""
    passes = 0
    for flags, row in zip(held, mask, strict=True):
        length, at = int(row.sum()), 0
        while at < length:
            run = flags[at]
            at += (int(run.argmin()) if not run.all() else len(run)) + 1
            passes += 1
    return float(mask.sum()) / passes
