"""What is learnt: answers behind a shared prefix, with dense labels on the video tokens beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.data.batches import PackedText, packed_mask, packed_positions
from training.data.labels import GRID, LOOK_FIELDS, TRACK_FIELDS
from training.heads import (
    bind_heads,
    bind_loss,
    fate_heads,
    number_heads,
    number_loss,
    patch_heads,
    patch_loss,
    recall_heads,
    recall_loss,
    track_heads,
    track_loss,
)
from training.models import DRAFTER_TEMPLATE, DrafterLearner, Learner
from training.tokenizer import BOS

TRACK_DEPTH = 2
"""Layers of the language model after which video tokens are asked what their things do."""
RECALL_DEPTH = 3
"""Layers after which the last frame is asked which things there were, those that have left included."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Ids around the features, shared by every question.

    `before`, then the features, then `after` (to the line break).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


class AllHeads(nn.Module):
    """Every head of a learner, by what it is asked of (see `training.heads`)."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.patches, self.tracks, self.binding = patch_heads(learner), track_heads(learner), bind_heads(learner)
        self.recall, self.fates, self.numbers = recall_heads(learner), fate_heads(learner), number_heads(learner)


class Dense:
    """Dense labels of a batch, with their heads and the hidden states that they are read from.

    `looks` int64 [B, T, 16, fields] are `video_labels`, `tracks` int64 [B, T, 16, fields] are `track_labels`, `things`
    int64 [B, 3, fields] are `thing_labels`; `fates` says whether what the whole clip tells is asked, too.
    """

    def __init__(self, heads: AllHeads, looks: Tensor, tracks: Tensor, things: Tensor, fates: bool) -> None:
        self.heads, self.looks, self.tracks, self.things, self.fates = heads, looks, tracks, things, fates
        self._seen: dict[str, Tensor] = {}

    @contextmanager
    def listening(self, learner: Learner) -> Iterator[None]:
        """Keep what the vision tower and some layers of the language model put out meanwhile."""
        layers = learner.language.layers
        spots: dict[str, nn.Module] = {
            "vision": learner.vision_end,
            "tracks": layers[TRACK_DEPTH - 1],
            "recall": layers[min(RECALL_DEPTH, len(layers)) - 1],
            "text": layers[len(layers) * 3 // 4 - 1],
        }
        handles = [spot.register_forward_hook(partial(self._keep, name)) for name, spot in spots.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def loss(self, prefix: Prefix) -> tuple[Tensor, Tensor]:
        """Loss of patches and tracks, and the share of things whose motion and speed are right."""
        first, tokens = len(prefix.before), self.looks.shape[1] * (GRID * GRID + 1)
        seen, _ = patch_loss(self.heads.patches, self._seen["vision"], self.looks.flatten(0, 1))
        video = self._seen["tracks"][:, first : first + tokens]
        followed, right = track_loss(self.heads.tracks, video, self.looks, self.tracks)
        return 0.5 * seen + followed, right

    def text_loss(self, prefix: Prefix, text: PackedText) -> Tensor:
        """Loss of what text tokens know about the thing that they are about.

        With `fates` also of the numbers asked for, and of what the last frame recalls.
        """
        hidden = self._seen["text"][:, -text.ids.shape[1] :]
        known = len(LOOK_FIELDS) + len(TRACK_FIELDS)
        loss = bind_loss(self.heads.binding, hidden, text.about, self.things[..., :known])
        if not self.fates:
            return loss
        loss = loss + bind_loss(self.heads.fates, hidden, text.about, self.things[..., known:-1])
        loss = loss + 0.5 * number_loss(self.heads.numbers, hidden, text.number)
        end = len(prefix.before) + self.looks.shape[1] * (GRID * GRID + 1)
        return loss + recall_loss(self.heads.recall, self._seen["recall"][:, end - GRID * GRID : end], self.things)

    def _keep(self, name: str, _module: nn.Module, _inputs: object, output: Any) -> None:
        self._seen[name] = output[0] if isinstance(output, tuple) else output


def prefix_of(learner: Learner, tokenizer: Tokenizer) -> Prefix:
    """The shared part of this model's prompt."""
    template = DRAFTER_TEMPLATE if isinstance(learner, DrafterLearner) else "USER: <event>\n{question} ASSISTANT:"
    before, after = template.split("<event>")
    shared = after.split("{question}")[0]
    return Prefix((BOS, *tokenizer.encode(before).ids), tuple(tokenizer.encode(shared).ids))


def answer_loss(
    learner: Learner, prefix: Prefix, pixels: Tensor, text: PackedText, dense: Dense | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross entropy over answer tokens, and the share of them that is predicted right.

    Args:
        learner: the model.
        prefix: of its prompt.
        pixels: [B, T, 3, S, S].
        text: packed pairs of the same B scenes.
        dense: if given, the loss of its labels is added.
    """
    with dense.listening(learner) if dense else nullcontext():
        logits, goals = answer_logits(learner, prefix, pixels, text)
    loss = cross_entropy(logits.float(), goals)
    right = (logits.detach().argmax(-1) == goals).float().mean()
    if dense:
        loss = loss + dense.loss(prefix)[0] + dense.text_loss(prefix, text)
    return loss, right


def watch_loss(learner: Learner, prefix: Prefix, pixels: Tensor, dense: Dense) -> tuple[Tensor, Tensor]:
    """The dense labels' loss alone, and the share of things whose motion and speed are right.

    Only the lower half of the language model runs, over the video alone: attention is causal, so the video tokens'
    states are those they have in front of any text.
    """
    config = learner.language.config
    depth = config.num_hidden_layers
    with dense.listening(learner):
        before, features, _ = _shared(learner, prefix, pixels)
        config.num_hidden_layers = TRACK_DEPTH
        try:
            learner.language(inputs_embeds=torch.cat([before, features], dim=1), use_cache=False)
        finally:
            config.num_hidden_layers = depth
    return dense.loss(prefix)


def answer_logits(learner: Learner, prefix: Prefix, pixels: Tensor, text: PackedText) -> tuple[Tensor, Tensor]:
    """Logits [n, vocabulary] at every place with a goal, and the goals [n], row by row."""
    hidden, goals = answer_states(learner, prefix, pixels, text)
    logits: Tensor = learner.lm_head(hidden)
    return logits, goals


def answer_states(learner: Learner, prefix: Prefix, pixels: Tensor, text: PackedText) -> tuple[Tensor, Tensor]:
    """Last hidden states [n, hidden] after the final norm at every place with a goal, and the goals [n], row by row."""
    shared = prefix_embeddings(learner, prefix, pixels)
    inputs = torch.cat([shared, learner.language.embed_tokens(text.ids).to(shared.dtype)], dim=1)
    size = shared.shape[1]
    hidden = learner.language(
        inputs_embeds=inputs,
        attention_mask=packed_mask(text.owner, size),
        position_ids=packed_positions(text.offsets, size),
        use_cache=False,
        shared_prefix=size,
    ).last_hidden_state[:, size:]
    wanted = text.goals >= 0
    return hidden[wanted], text.goals[wanted]


def prefix_embeddings(learner: Learner, prefix: Prefix, pixels: Tensor) -> Tensor:
    """What every question of these scenes begins with, [B, n, hidden]."""
    return torch.cat(_shared(learner, prefix, pixels), dim=1)


def _shared(learner: Learner, prefix: Prefix, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings before the features, features, and embeddings after them, each [B, n, hidden]."""
    features = learner.features(pixels)
    embed = learner.language.embed_tokens
    before, after = (_embed(embed, ids, len(features)).to(features.dtype) for ids in (prefix.before, prefix.after))
    return before, features, after


def _embed(table: nn.Module, ids: Sequence[int], batch: int) -> Tensor:
    rows: Tensor = table(torch.tensor(ids))
    return rows.expand(batch, *rows.shape)
