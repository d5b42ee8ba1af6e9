"""What adapters learn from: the research's losses on states, and cross entropy through the target's head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part of the loss counts.

    Attributes:
        states: of the loss on states (masked MSE + 0.5 (1 - cos)).
        tokens: of the cross entropy through the target's head.
        following: share of the loss on states that is taken on the next position's state (the research: half, for L5).
    """

    states: float = 0.1
    tokens: float = 1.0
    following: float = 0.0


def state_loss(guess: Tensor, state: Tensor, mask: Tensor) -> Tensor:
    """Masked MSE + 0.5 (1 - cos) of states [B, n, H] where `mask` [B, n] is True."""
    ours, theirs = guess[mask], state[mask]
    if len(ours) == 0:
        return guess.sum() * 0.0
    return (ours - theirs).square().mean() + 0.5 * (1 - cosine_similarity(ours, theirs, dim=-1)).mean()


def adapter_loss(
    guess: Tensor, logits: Tensor, state: Tensor, ids: Tensor, mask: Tensor, weights: Weights
) -> tuple[Tensor, Tensor]:
    """The whole loss, and the share of tokens that the guess gets right.

    Args:
        guess: adapted states [B, n, H].
        logits: what the target's head makes of them where `mask` is True, [m, V].
        state: the target's states [B, n, H].
        ids: the target's tokens [B, n].
        mask: True where there is a position [B, n].
        weights: of the parts.
    """
    goals = ids[mask].long()
    loss = weights.tokens * cross_entropy(logits, goals) if weights.tokens else logits.sum() * 0.0
    if weights.states:
        aligned = state_loss(guess, state, mask)
        if weights.following:
            after = state_loss(guess[:, :-1], state[:, 1:], mask[:, 1:])
            aligned = (1 - weights.following) * aligned + weights.following * after
        loss = loss + weights.states * aligned
    right = (logits.detach().argmax(-1) == goals).float().mean()
    return loss, right


def token_loss(logits: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of logits [B, n, V] where `mask` is True, and the share of tokens right."""
    chosen, goals = logits[mask], ids[mask].long()
    return cross_entropy(chosen, goals), (chosen.detach().argmax(-1) == goals).float().mean()


def rate_at(step: int, steps: int, peak: float, warm: int = 50) -> float:
    """Learning rate of `step`: up in a straight line over `warm` steps, down along a cosine to zero."""
    if step < warm:
        return peak * (step + 1) / warm
    left = (step - warm) / max(1, steps - warm)
    return peak * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(1.0, left)))))
