"""Training of adapters: AdamW, a cosine, clipped gradients; a step is a function of state, seed and its number."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.adapters import (
    AnyAdapter,
    CausalAdapter,
    FusedAdapter,
    Reach,
    TokenAdapter,
    create_adapter,
    load_adapter,
    save_adapter,
)
from common.errors import SettingsError
from training.alignment.batches import Batch, Batches, cut_short, shifted
from training.alignment.losses import Weights, adapter_loss, rate_at, token_loss
from training.alignment.serving import ServedBatches
from training.alignment.serving import guess as guess_drafts
from training.alignment.stepping import SteppedTrainer
from training.tokenizer import VOCABULARY


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an adapter is trained.

    Attributes:
        level: of the adapter.
        sizes: that differ from the level's own.
        steps: optimiser steps.
        batch: samples a step.
        rate: the peak learning rate.
        decay: of weights.
        clip: largest norm of the gradients.
        weights: of the loss's parts.
        own: share of positions at which an L5F learns from its own guess at the target's state before, as it has to
            in a draft of several tokens.
        served: an L5F learns from drafts as they are served, in place of `own`: along the drafter's own ids behind its
            misses, and from its own guesses behind the base.
        whole: levels that look at a whole chunk learn from whole answers, which leaks (see `cut_short`).
        blind: zeros go in instead of the drafter's states: what L5F owes to the target's states alone.
        seed: of weights and batches.
        start: folder of an adapter of the same sizes whose weights are the first ones; none if empty.
    """

    level: str
    sizes: dict[str, Any] = field(default_factory=dict)
    steps: int = 2000
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.01
    clip: float = 1.0
    weights: Weights = field(default_factory=Weights)
    own: float = 0.5
    served: bool = False
    whole: bool = False
    blind: bool = False
    seed: int = 0
    start: str = ""


class AdapterTrainer(SteppedTrainer):
    """Trains one adapter on a folder of chunks. A checkpoint holds all state; `run` goes on from the last one."""

    def __init__(self, recipe: Recipe, chunks: Path, head: nn.Linear, embed: nn.Embedding, out: Path) -> None:
        """Take up the checkpoint in `out` if there is one.

        Args:
            recipe: how it is trained.
            chunks: extracted states.
            head: the target's head; frozen.
            embed: the target's embeddings; frozen.
            out: for the adapter (`config.json`, `model.safetensors`), `checkpoint.pt` and `log.jsonl`.

        Raises:
            ModelError: no chunks, or no such level.
            SettingsError: the checkpoint was made by another recipe, the chunks lack layers or continuations, or the
                adapter to begin with has other sizes.
        """
        super().__init__(recipe.steps, out)
        self.recipe = recipe
        self.head, self.embed = head.requires_grad_(False), embed.requires_grad_(False)
        self.batches = Batches(chunks, recipe.batch, recipe.seed, int(recipe.sizes.get("layers", 1)))
        meta = self.batches.index.meta
        self.served = ServedBatches(self.batches, chunks, recipe.seed) if recipe.served else None
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.adapter = create_adapter(
                recipe.level, meta["drafter_hidden"], meta["target_hidden"], **self._sizes()
            ).train()
        if recipe.start:
            self._begin_with(load_adapter(recipe.start).adapter)
        self.optimizer = torch.optim.AdamW(self.adapter.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        out.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._load()

    def save(self) -> None:
        """Write checkpoint and adapter, each whole or not at all."""
        self._write(
            {
                "recipe": self._mark(),
                "step": self.step,
                "adapter": self.adapter.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )
        save_adapter(self.adapter, self.out, dtype=torch.float16)

    def _begin_with(self, other: AnyAdapter) -> None:
        if other.config != self.adapter.config:
            raise SettingsError(f"{self.recipe.start} has other sizes than the adapter that is to be trained")
        self.adapter.load_state_dict(other.state_dict())

    def _sizes(self) -> dict[str, Any]:
        return {"vocab_size": VOCABULARY, **self.recipe.sizes} if _is_tokens(self.recipe) else self.recipe.sizes

    def _mark(self) -> str:
        return json.dumps({**asdict(self.recipe), "states": self.batches.index.meta}, sort_keys=True)

    def _load(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        if saved["recipe"] != self._mark():
            raise SettingsError(f"{self.out} was trained by another recipe or on other states: take another --out")
        self.adapter.load_state_dict(saved["adapter"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]

    def _train_step(self) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.step, self.recipe.steps, self.recipe.rate)
        batch = self.batches(self.step)
        if self.recipe.blind:
            batch = replace(batch, states=torch.zeros_like(batch.states))
        loss, right = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.adapter.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach()), float(right)

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the share of tokens that are right."""
        wanted = batch.mask
        if self.adapter.reach is Reach.CHUNK and not self.recipe.whole:
            lengths = batch.mask.sum(1)
            ends = (torch.rand(len(lengths), generator=self._chance()) * lengths).long()
            batch, wanted = cut_short(batch, ends)
        if isinstance(self.adapter, TokenAdapter):
            return token_loss(self.adapter(batch.drafted, mask=batch.mask), batch.ids, wanted)
        guess = run_adapter(self.adapter, batch, self.embed)
        loss, right = self._part(guess, batch, wanted)
        if isinstance(self.adapter, FusedAdapter) and self.served is not None:
            drafts = self.served(self.step, batch)
            again, _ = self._part(guess_drafts(self.adapter, drafts), drafts.batch, drafts.drafted)
            loss = 0.5 * (loss + again)
        elif isinstance(self.adapter, FusedAdapter) and self.recipe.own:
            own = torch.rand(batch.mask.shape, generator=self._chance()) < self.recipe.own
            mixed = torch.where(own[..., None], shifted(guess.detach()), batch.previous)
            again, _ = self._part(self.adapter(batch.states, previous=mixed), batch, wanted)
            loss = 0.5 * (loss + again)
        return loss, right

    def _part(self, guess: Tensor, batch: Batch, wanted: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(guess[wanted])[:, :VOCABULARY]
        return adapter_loss(guess, logits, batch.target, batch.ids, wanted, self.recipe.weights)

    def _chance(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)


def run_adapter(adapter: AnyAdapter, batch: Batch, embed: nn.Embedding) -> Tensor:
    """Adapted states [B, n, Ht] along the target's answers."""
    assert not isinstance(adapter, TokenAdapter)
    guess: Tensor
    if isinstance(adapter, FusedAdapter):
        guess = adapter(batch.states, previous=batch.previous)
    elif isinstance(adapter, CausalAdapter) and adapter.config.token_fusion:
        guess = adapter(batch.states, embeddings=embed(batch.fed))
    else:
        guess = adapter(batch.states, mask=batch.mask)
    return guess


def _is_tokens(recipe: Recipe) -> bool:
    return recipe.level.lower() == "tokens"
