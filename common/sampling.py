"""The target's choice: one function for both sides (design: one rule of verification).

At every position the choice is a function of the logits, the sampling parameters, the seed and the position, and of
nothing else. Greedy is `argmax(logits)`; sampling is `argmax(log p + gumbel(seed, position))` over the filtered
distribution, with noise from a counter-based generator. An edge that makes the same choice from its own logits drafts
coupled samples, so that ids alone need to travel (Daliri, Musco, Suresh: Coupling without Communication and
Drafter-Invariant Speculative Decoding, arXiv 2408.07978). The cloud's choice is authoritative: a difference in
floating point costs acceptance, never correctness.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from common.types import SamplingParams


def gumbel_noise(seed: int, position: int, count: int) -> NDArray[np.float64]:
    """Standard Gumbel noise [count] for one answer position: Philox keyed by `seed`, counted by `position`.

    Entry i depends on (seed, position, i) alone, so tables of different padded sizes see the same noise.
    """
    bits = np.random.Philox(key=seed, counter=[0, position, 0, 0])
    uniform = np.random.Generator(bits).random(count)
    return -np.log(-np.log(np.maximum(uniform, 2.0**-54)))  # random() is in [0, 1): keep log from seeing 0


def filtered_log_probs(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """Log-probabilities [n, V] in float64 after temperature, top-k and top-p; filtered ids are -inf.

    Top-k keeps every id that ties with the k-th; top-p keeps the smallest set of most likely ids whose mass reaches
    `top_p`.
    """
    wide = logits.to(torch.float64)
    scaled = (wide - wide.amax(dim=-1, keepdim=True)) / params.temperature  # the best is 0: nothing overflows
    if 0 < params.top_k < scaled.shape[-1]:
        kth = torch.topk(scaled, params.top_k, dim=-1).values[..., -1:]
        scaled = scaled.masked_fill(scaled < kth, -torch.inf)
    log_probs = torch.log_softmax(scaled, dim=-1)
    if params.top_p < 1.0:
        ordered, order = torch.sort(log_probs, dim=-1, descending=True, stable=True)
        mass_before = torch.cumsum(ordered.exp(), dim=-1) - ordered.exp()
        drop = (mass_before >= params.top_p).scatter(-1, order, mass_before >= params.top_p)
        log_probs = torch.log_softmax(log_probs.masked_fill(drop, -torch.inf), dim=-1)
    return log_probs


def scores(logits: torch.Tensor, params: SamplingParams, positions: Sequence[int]) -> torch.Tensor:
    """What the choice is the largest of: scores [n, V] of `logits` [n, V], row i being position `positions[i]`."""
    if params.greedy:
        return logits
    log_probs = filtered_log_probs(logits, params)
    vocab = log_probs.shape[-1]
    noise = np.stack([gumbel_noise(params.seed, position, vocab) for position in positions])
    return log_probs + torch.from_numpy(noise).to(log_probs.device)


def choose(logits: torch.Tensor, params: SamplingParams, positions: Sequence[int]) -> list[int]:
    """The choice for each row of `logits` [n, V], row i being answer position `positions[i]`.

    Ids that must never be chosen (padding of the table, placeholders) are -inf in `logits`.
    """
    return torch.argmax(scores(logits, params, positions), dim=-1).tolist()


def runners_up(
    logits: torch.Tensor, params: SamplingParams, positions: Sequence[int], count: int
) -> list[list[tuple[int, float]]]:
    """The choice for each row, and the `count` ids that came next, best first, with the share of each.

    Shares are a softmax over all scores: of greedy choices the model's own probabilities, of sampled ones what is left
    of them once the noise is known. Ids that can't be chosen don't come.
    """
    found = scores(logits, params, positions).float()
    values, ids = torch.topk(found, min(count + 1, found.shape[-1]), dim=-1)
    shares = (values - torch.logsumexp(found, dim=-1, keepdim=True)).exp()
    rows = zip(ids.tolist(), shares.tolist(), values.tolist(), strict=True)
    return [[(i, s) for i, s, v in zip(*row, strict=True) if v > -torch.inf] for row in rows]
