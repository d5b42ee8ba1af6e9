"""Dense supervision: linear heads that say, patch by patch, what is there. They are only for training.

Answers alone teach a small model slowly which of many video tokens a word is about. Two kinds of heads make it
quick: on the vision tower (what lies where in one frame), and on the video tokens half way up the language model
(what moves how). Places and ways are also regressed, so that a difference of places is a difference of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss

from training.data.labels import EVENT_FIELDS, FATE_FIELDS, GRID, LOOK_FIELDS, TRACK_FIELDS, VIDEO_FIELDS
from training.models import Learner
from training.world.phrases import NUMBERS

_PLACE_FIELDS = 2
_RANK = list(TRACK_FIELDS).index("rank")


class Heads(nn.Module):
    """One linear head for each field, on normalised hidden states."""

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, sum(self.sizes))

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """Scores [..., classes] of each field for hidden states [..., width]."""
        scores: Tensor = self.out(self.norm(hidden))
        return list(torch.split(scores.float(), self.sizes, dim=-1))


def patch_heads(learner: Learner) -> Heads:
    """Heads for the vision tower: is there a thing's centre in this patch, which thing is it, and where?"""
    fields = VIDEO_FIELDS if learner.sense == "frames" else EVENT_FIELDS
    return Heads([2, *fields.values(), 2], learner.patch_width)


def track_heads(learner: Learner) -> Heads:
    """Heads for video tokens inside the language model: what the thing looks like, and what it does over time."""
    return Heads([*LOOK_FIELDS.values(), *TRACK_FIELDS.values(), 2], learner.language.config.hidden_size)


def bind_heads(learner: Learner) -> Heads:
    """Heads for text tokens that are about one thing: which is it, and what is it like?"""
    return Heads([*LOOK_FIELDS.values(), *TRACK_FIELDS.values()], learner.language.config.hidden_size)


def fate_heads(learner: Learner) -> Heads:
    """Heads for the same text tokens: does the thing leave, and in which corners does it start and end?"""
    return Heads(list(FATE_FIELDS.values()), learner.language.config.hidden_size)


def number_heads(learner: Learner) -> Heads:
    """A head for the end of a question for a number: how many?"""
    return Heads([len(NUMBERS)], learner.language.config.hidden_size)


def recall_heads(learner: Learner) -> Heads:
    """Heads for the patches of the last frame: which thing was last seen here (none is the last class), and all of it.

    Attention is causal: only the last frame's tokens can know of a thing that it has left.
    """
    fields = LOOK_FIELDS | TRACK_FIELDS | FATE_FIELDS
    return Heads([TRACK_FIELDS["rank"] + 1, *fields.values()], learner.language.config.hidden_size)


def bind_loss(heads: Heads, hidden: Tensor, about: Tensor, things: Tensor) -> Tensor:
    """Mean cross entropy over the attributes of the things that tokens are about.

    Args:
        heads: of `bind_heads` or `fate_heads`.
        hidden: [B, M, hidden], states of the text.
        about: int64 [B, M], the thing's rank where a token is about one, -1 elsewhere.
        things: int64 [B, 3, fields], those of the `thing_labels` that the heads are for.
    """
    rows, columns = torch.nonzero(about >= 0, as_tuple=True)
    return _mean_loss(heads(hidden[rows, columns]), things[rows, about[rows, columns]])


def number_loss(heads: Heads, hidden: Tensor, number: Tensor) -> Tensor:
    """Cross entropy of the `number` [B, M] (-1: none) that states [B, M, hidden] at the ends of questions say."""
    asked = number >= 0
    return cross_entropy(heads(hidden[asked])[0], number[asked]) if asked.any() else hidden.new_zeros(())


def recall_loss(heads: Heads, hidden: Tensor, things: Tensor) -> Tensor:
    """Loss of what the last frame's patches say of things that are there or were last seen there.

    Args:
        heads: of `recall_heads`.
        hidden: [B, 16, hidden], states of the last frame's patches.
        things: int64 [B, 3, fields] of `thing_labels`.
    """
    rows, ranks = torch.nonzero(things[..., -1] >= 0, as_tuple=True)
    patches = things[rows, ranks, -1]
    owner = torch.full(hidden.shape[:2], TRACK_FIELDS["rank"])
    owner[rows, patches] = ranks
    there, *scores = heads(hidden)
    return cross_entropy(there.flatten(0, 1), owner.flatten()) + _mean_loss(
        [score[rows, patches] for score in scores], things[rows, ranks, :-1]
    )


def _mean_loss(scores: Sequence[Tensor], goals: Tensor) -> Tensor:
    return torch.stack([cross_entropy(score, goals[:, index]) for index, score in enumerate(scores)]).mean()


def patch_loss(heads: Heads, patches: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, and the share of things with all attributes (places aside) right.

    Args:
        heads: of `patch_heads`.
        patches: [N, 17, width]; the class token is skipped.
        labels: int64 [N, 16, fields], -1 where there is nothing.
    """
    there, *scores, place = heads(patches[:, 1:])
    present = labels[..., 0] >= 0
    loss = cross_entropy(there.flatten(0, 1), present.long().flatten())
    right = torch.ones(int(present.sum()), dtype=torch.bool)
    for index, score in enumerate(scores):
        goal = labels[..., index][present]
        loss = loss + cross_entropy(score[present], goal)
        if index < len(scores) - _PLACE_FIELDS:
            right &= score[present].argmax(-1) == goal
    return loss + l1_loss(GRID / 2 + GRID * place[present], _places(labels)[present]), right.float().mean()


def track_loss(heads: Heads, hidden: Tensor, looks: Tensor, tracks: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, and the share of things whose motion and speed are right, at patches with a thing; frame 0 is left out.

    Args:
        heads: of `track_heads`.
        hidden: [B, T * 17, hidden], states of the video tokens (class token first in each frame).
        looks: int64 [B, T, 16, fields] of `video_labels`.
        tracks: int64 [B, T, 16, fields] of `track_labels`.
    """
    batch, frames = tracks.shape[:2]
    patches = hidden.reshape(batch, frames, -1, hidden.shape[-1])[:, 1:, 1:]
    labels = torch.cat([looks[..., : len(LOOK_FIELDS)], tracks], dim=-1)[:, 1:]
    present = labels[..., 0] >= 0
    *scores, moved = heads(patches[present])
    goals = [labels[..., index][present] for index in range(len(scores))]
    losses = [cross_entropy(score, goal) for score, goal in zip(scores, goals, strict=True)]
    way = l1_loss(moved, _ways(looks, tracks)[:, 1:][present])
    hits = [(score.argmax(-1) == goal) for score, goal in zip(scores, goals, strict=True)]
    right = hits[len(LOOK_FIELDS)] & hits[len(LOOK_FIELDS) + 1]
    return torch.stack(losses).mean() + way, right.float().mean()


def _places(labels: Tensor) -> Tensor:
    """Where centres lie, in patches: float [..., 16, 2] from labels whose last two fields are eighths of a patch."""
    patch = torch.arange(GRID * GRID)
    corner = torch.stack([patch % GRID, patch // GRID], dim=-1)
    return corner + (labels[..., -_PLACE_FIELDS:].float() + 0.5) / 8


def _ways(looks: Tensor, tracks: Tensor) -> Tensor:
    """How far each thing has come since it was first seen, in patches: float [B, T, 16, 2]; 0 where there is none."""
    places, rank = _places(looks), tracks[..., _RANK]
    way = torch.zeros_like(places)
    for number in range(TRACK_FIELDS["rank"]):
        mine = rank == number  # [B, T, 16]
        place = (places * mine[..., None]).sum(2) / mine.sum(2)[..., None].clamp(min=1)  # [B, T, 2]
        first = mine.any(2).int().argmax(1)  # [B]
        start = place[torch.arange(len(place)), first]
        way = torch.where(mine[..., None], (place - start[:, None])[:, :, None], way)
    return way
