"""What is learnt: answers behind a shared prefix, with dense labels on the video tokens beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.data.batches import PackedText, packed_mask, packed_positions
from training.data.labels import GRID
from training.heads import Heads, bind_loss, patch_loss, track_loss
from training.models import DRAFTER_TEMPLATE, DrafterLearner, Learner
from training.tokenizer import BOS

TRACK_DEPTH = 2
"""Layers of the language model after which video tokens are asked what their things do."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Ids around the features, shared by every question.

    `before`, then the features, then `after` (to the line break).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


class Dense:
    """Dense labels of a batch, with their heads and the hidden states that they are read from.

    `looks` int64 [B, T, 16, fields] are `video_labels`, `tracks` int64 [B, T, 16, fields] are `track_labels`.
    """

    def __init__(self, patch: Heads, track: Heads, bind: Heads, looks: Tensor, tracks: Tensor) -> None:
        self.patch, self.track, self.bind, self.looks, self.tracks = patch, track, bind, looks, tracks
        self._seen: list[Tensor] = []

    @contextmanager
    def listening(self, learner: Learner) -> Iterator[None]:
        """Keep what the vision tower and the middle layer of the language model put out meanwhile."""
        layers = learner.language.layers
        spots: list[nn.Module] = [learner.vision_end, layers[TRACK_DEPTH - 1], layers[len(layers) * 3 // 4 - 1]]
        handles = [spot.register_forward_hook(self._keep) for spot in spots]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def loss(self, prefix: Prefix) -> tuple[Tensor, Tensor]:
        """Loss of patches and tracks, and the share of things whose motion and speed are right."""
        patches, hidden = self._seen[:2]
        first, tokens = len(prefix.before), self.looks.shape[1] * (GRID * GRID + 1)
        seen, _ = patch_loss(self.patch, patches, self.looks.flatten(0, 1))
        followed, right = track_loss(self.track, hidden[:, first : first + tokens], self.looks, self.tracks)
        return 0.5 * seen + followed, right

    def binding_loss(self, text: PackedText) -> Tensor:
        """Loss of what text tokens know about the thing that they are about."""
        return bind_loss(self.bind, self._seen[2][:, -text.ids.shape[1] :], text.about, self.looks, self.tracks)

    def _keep(self, _module: nn.Module, _inputs: object, output: Any) -> None:
        self._seen.append(output[0] if isinstance(output, tuple) else output)


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
        loss = loss + dense.loss(prefix)[0] + dense.binding_loss(text)
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
    shared = torch.cat(_shared(learner, prefix, pixels), dim=1)
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
    logits: Tensor = learner.lm_head(hidden[wanted])
    return logits, text.goals[wanted]


def _shared(learner: Learner, prefix: Prefix, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings before the features, features, and embeddings after them, each [B, n, hidden]."""
    features = learner.features(pixels)
    embed = learner.language.embed_tokens
    before, after = (_embed(embed, ids, len(features)).to(features.dtype) for ids in (prefix.before, prefix.after))
    return before, features, after


def _embed(table: nn.Module, ids: Sequence[int], batch: int) -> Tensor:
    rows: Tensor = table(torch.tensor(ids))
    return rows.expand(batch, *rows.shape)
