"""A way of drafting, measured on extracted states: raw ids, or an adapter's states through the target's head.

The states lie along the target's own answers, so each choice is what the drafter would say after what is committed:
true acceptance with rollback, not two answers side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, pad

from common.adapters import AnyAdapter, Reach, TokenAdapter
from training.alignment import metrics
from training.alignment.batches import Batch, cut_short, make_batch
from training.alignment.chunks import Chunk, load_chunks
from training.alignment.fitting import run_adapter
from training.alignment.metrics import Flags
from training.evaluation.acceptance import token_classes
from training.tokenizer import VOCABULARY

DRAFTS = (3, 5, 8)
_ROWS = 250


@dataclass(frozen=True, slots=True)
class Heads:
    """What turns states into tokens: both heads, and the target's embeddings."""

    target: nn.Linear
    drafter: nn.Linear
    embed: nn.Embedding


@dataclass(frozen=True, slots=True)
class Judged:
    """One way of drafting along all answers of a folder.

    Attributes:
        flags: bool [N, n], whether the draft at a position is the target's token.
        ranks: int [N, n], how many tokens it prefers to the target's.
        cosine: float [N, n] between its state and the target's; None where there is no state of the target's width.
        mask: bool [N, n].
        classes: the class of word of each position, N lists.
    """

    flags: Flags
    ranks: npt.NDArray[np.int64]
    cosine: npt.NDArray[np.float64] | None
    mask: Flags
    classes: list[list[str]]


def sentence(tokenizer: Tokenizer, prompt: Sequence[int]) -> str:
    """The question's words, from the ids of a prompt's own part."""
    return str(tokenizer.decode(list(prompt))).replace("ASSISTANT:", "").strip()


@torch.inference_mode()
def judge(
    states: Path,
    adapter: AnyAdapter | None,
    heads: Heads,
    tokenizer: Tokenizer,
    whole: bool = False,
    blind: bool = False,
) -> Judged:
    """Draft along the answers in `states` with `adapter`, or with the drafter's own head (None).

    Args:
        states: extracted from held-out scenes.
        adapter: of any level.
        heads: of both models.
        tokenizer: of the pair.
        whole: let a level that looks at whole chunks look at whole answers. This leaks (see `cut_short`).
        blind: zeros go in instead of the drafter's states.
    """
    parts: list[tuple[Tensor, Tensor, Tensor | None, Tensor]] = []
    classes: list[list[str]] = []
    layers = 1 if adapter is None or isinstance(adapter, TokenAdapter) else adapter.config.layers
    for chunk in load_chunks(states):
        classes += _classes(chunk, tokenizer)
        for first in range(0, len(chunk), _ROWS):
            rows = range(first, min(first + _ROWS, len(chunk)))
            batch = make_batch(chunk, rows, layers)
            if blind:
                batch = replace(batch, states=torch.zeros_like(batch.states))
            logits, guess = _choices(adapter, batch, heads, whole)
            own = logits.gather(-1, batch.ids[..., None])
            ranks = (logits > own).sum(-1)
            cosine = None if guess is None else cosine_similarity(guess, batch.target, dim=-1)
            parts.append((logits.argmax(-1) == batch.ids, ranks, cosine, batch.mask))
    longest = max(part[3].shape[1] for part in parts)
    known = [part[2] for part in parts if part[2] is not None]
    return Judged(
        flags=_joined([part[0] for part in parts], longest),
        ranks=_joined([part[1] for part in parts], longest),
        cosine=_joined(known, longest).astype(np.float64) if known else None,
        mask=_joined([part[3] for part in parts], longest),
        classes=classes,
    )


def figures(judged: Judged) -> dict[str, Any]:
    """All metrics of one way of drafting, as plain values."""
    flags, mask = judged.flags, judged.mask
    found: dict[str, Any] = {
        "samples": len(flags),
        "tokens": int(mask.sum()),
        "acceptance": metrics.share(flags, mask),
        "by_class": by_class(judged),
        "by_position": metrics.per_position(flags.astype(np.float64), mask).mean.tolist(),
        "mean_length": {str(draft): metrics.mean_length(flags, mask, draft) for draft in DRAFTS},
        "top": {
            str(top): {"share": hit, "consecutive": run} for top, (hit, run) in metrics.tops(judged.ranks, mask).items()
        },
    }
    if judged.cosine is not None:
        stats = metrics.per_position(judged.cosine, mask)
        found["proxies"] = {
            "cosine_mean": float(judged.cosine[mask].mean()),
            "cosine_by_position": [stats.mean.tolist(), stats.std.tolist()],
            "by_threshold": metrics.cosine_figures(judged.cosine, flags, mask),
        }
    return found


def by_class(judged: Judged) -> dict[str, list[float]]:
    """[Accepted share, tokens] by class of word."""
    names = np.array([name for row in judged.classes for name in row])
    hits = judged.flags[judged.mask]
    return {str(name): [float(hits[names == name].mean()), int((names == name).sum())] for name in np.unique(names)}


def _choices(adapter: AnyAdapter | None, batch: Batch, heads: Heads, whole: bool) -> tuple[Tensor, Tensor | None]:
    """Logits [B, n, V] of the drafts, and the states [B, n, Ht] they come from, if those are in the target's space."""
    if adapter is None:
        return _head(heads.drafter, batch.states), None
    if adapter.reach is Reach.CHUNK and not whole:
        ends = [cut_short(batch, torch.full((len(batch.ids),), at)) for at in range(batch.ids.shape[1])]
        found = [_choices(adapter, _crop(part, at + 1), heads, True) for at, (part, _) in enumerate(ends)]
        logits = torch.stack([part[0][:, -1] for part in found], dim=1)
        states = [part[1][:, -1] for part in found if part[1] is not None]
        return logits, torch.stack(states, dim=1) if states else None
    if isinstance(adapter, TokenAdapter):
        return adapter(batch.drafted, mask=batch.mask), None
    guess = run_adapter(adapter, batch, heads.embed)
    return _head(heads.target, guess), guess


def _crop(batch: Batch, length: int) -> Batch:
    mask = batch.mask[:, :length].clone()
    mask[:, 0] = True  # rows that end before have nothing to attend to otherwise; they aren't counted
    cut = {name: getattr(batch, name)[:, :length] for name in ("states", "target", "previous", "ids", "fed", "drafted")}
    return Batch(**cut, mask=mask)


def _head(head: nn.Linear, states: Tensor) -> Tensor:
    logits: Tensor = head(states)
    return logits[..., :VOCABULARY]


def _classes(chunk: Chunk, tokenizer: Tokenizer) -> list[list[str]]:
    starts = chunk.starts.tolist()
    ids = chunk.tensors["target_ids"].tolist()
    answers = [ids[starts[i] : starts[i + 1]] for i in range(len(chunk))]
    return [
        token_classes(tokenizer, answer, sentence(tokenizer, prompt))
        for answer, prompt in zip(answers, chunk.prompts(), strict=True)
    ]


def _joined(parts: Sequence[Tensor], longest: int) -> npt.NDArray[Any]:
    return torch.cat([pad(part, (0, longest - part.shape[1])) for part in parts]).numpy()
