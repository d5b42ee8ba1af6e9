"""A model that has seen a scene: the prefix's keys and values are kept, for any number of questions and guesses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from training.data.batches import Pair, pack_pairs, packed_mask, packed_positions
from training.models import Learner
from training.objective import Prefix, prefix_embeddings
from training.tokenizer import VOCABULARY


@dataclass(frozen=True, slots=True)
class Row:
    """One pair's states [n, H] and choices [n] along its answer, and those of the last layers [n, k, H] if wanted."""

    hidden: Tensor
    chosen: list[int]
    layers: Tensor | None = None


class Prompted:
    """A learner whose prefix has run over one scene. Text rows see the prefix and themselves alone."""

    def __init__(self, learner: Learner, prefix: Prefix, pixels: Tensor) -> None:
        """Run the prefix over `pixels` [T, 3, S, S]."""
        shared = prefix_embeddings(learner, prefix, pixels[None])
        self._learner, self._size = learner, shared.shape[1]
        self._cache = DynamicCache()
        learner.language(inputs_embeds=shared, past_key_values=self._cache, use_cache=True)

    def run(self, pairs: Sequence[Pair], layers: int = 0) -> list[Row]:
        """States and choices along each pair's answer, in order; with the last `layers` layers' states."""
        learner = self._learner
        text = pack_pairs([pairs], sum(len(pair.prompt) + len(pair.answer) for pair in pairs))
        wanted = text.goals[0] >= 0
        with _listening(learner, layers) as heard:
            output = learner.language(
                inputs_embeds=learner.language.embed_tokens(text.ids),
                attention_mask=packed_mask(text.owner, self._size)[:, :, self._size :],
                position_ids=packed_positions(text.offsets, self._size)[:, self._size :],
                past_key_values=self._cache,
                use_cache=True,
            )
        self._cache.crop(-text.ids.shape[1])
        hidden = output.last_hidden_state[0, wanted]
        chosen = learner.lm_head(hidden)[:, :VOCABULARY].argmax(-1).tolist()
        stack = torch.stack([*(state[0, wanted] for state in heard), hidden], dim=1) if layers else None
        rows, at = [], 0
        for pair in pairs:
            end = at + len(pair.answer)
            rows.append(Row(hidden[at:end], chosen[at:end], None if stack is None else stack[at:end]))
            at = end
        return rows


@contextmanager
def _listening(learner: Learner, layers: int) -> Iterator[list[Tensor]]:
    """Keep what the last `layers` layers but the very last put out; that one's output is the state after the norm."""
    heard: list[Tensor] = []
    blocks = list(learner.language.layers)[-layers:-1] if layers > 1 else []

    def keep(_module: object, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        heard.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(keep) for block in blocks]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
