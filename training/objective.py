"""What is learnt: answers behind a shared prefix, and (in the warm-up) what lies where in each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.data.batches import PackedText, packed_mask, packed_positions
from training.data.labels import EVENT_FIELDS, VIDEO_FIELDS
from training.models import DRAFTER_TEMPLATE, DrafterLearner, Learner
from training.tokenizer import BOS


@dataclass(frozen=True, slots=True)
class Prefix:
    """Ids around the features, shared by every question.

    `before`, then the features, then `after` (to the line break).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


def prefix_of(learner: Learner, tokenizer: Tokenizer) -> Prefix:
    """The shared part of this model's prompt."""
    template = (
        DRAFTER_TEMPLATE if isinstance(learner, DrafterLearner) else "USER: <event>\n{question} ASSISTANT:"
    )
    before, after = template.split("<event>")
    shared = after.split("{question}")[0]
    return Prefix((BOS, *tokenizer.encode(before).ids), tuple(tokenizer.encode(shared).ids))


def answer_loss(learner: Learner, prefix: Prefix, pixels: Tensor, text: PackedText) -> tuple[Tensor, Tensor]:
    """Mean cross entropy over answer tokens, and the share of them that is predicted right.

    Args:
        learner: the model.
        prefix: of its prompt.
        pixels: [B, T, 3, S, S].
        text: packed pairs of the same B scenes.
    """
    logits, goals = answer_logits(learner, prefix, pixels, text)
    right = (logits.detach().argmax(-1) == goals).float().mean()
    return cross_entropy(logits.float(), goals), right


def answer_logits(
    learner: Learner, prefix: Prefix, pixels: Tensor, text: PackedText
) -> tuple[Tensor, Tensor]:
    """Logits [n, vocabulary] at every place with a goal, and the goals [n], row by row."""
    features = learner.features(pixels)
    embed = learner.language.embed_tokens
    batch = len(features)
    before, after = (_embed(embed, ids, batch).to(features.dtype) for ids in (prefix.before, prefix.after))
    shared = torch.cat([before, features, after], dim=1)
    inputs = torch.cat([shared, embed(text.ids).to(features.dtype)], dim=1)
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


class PatchHeads(nn.Module):
    """Linear heads on patch features for the warm-up.

    Is there a thing's centre in this patch, and which thing is it?
    """

    def __init__(self, fields: str, width: int) -> None:
        super().__init__()
        classes = VIDEO_FIELDS if fields == "video" else EVENT_FIELDS
        self.sizes = [2, *classes.values()]
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, sum(self.sizes))

    def forward(self, patches: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the share of things with all attributes (places aside) right.

        Args:
            patches: [N, 17, width]; the class token is skipped.
            labels: int64 [N, 16, fields].
        """
        scores = self.out(self.norm(patches[:, 1:])).float().split(self.sizes, dim=-1)
        present = labels[..., 0] >= 0
        loss = cross_entropy(scores[0].flatten(0, 1), present.long().flatten())
        right = torch.ones(int(present.sum()), dtype=torch.bool)
        for index, score in enumerate(scores[1:]):
            goal = labels[..., index][present]
            loss = loss + cross_entropy(score[present], goal)
            if index < len(self.sizes) - 3:
                right &= score[present].argmax(-1) == goal
        return loss, right.float().mean()


def _embed(table: nn.Module, ids: Sequence[int], batch: int) -> Tensor:
    rows: Tensor = table(torch.tensor(ids))
    return rows.expand(batch, *rows.shape)
