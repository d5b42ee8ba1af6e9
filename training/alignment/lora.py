"""LoRA of the drafter's own layers and head on the target's answers: ids stay what travels, the drafter gets better.

The low-rank matrices are peft's. When training ends they are merged, so that what is served is an ordinary drafter.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, LoraModel
from torch import Tensor, nn

from common.errors import SettingsError
from training.alignment.chunks import load_chunks, read_index
from training.alignment.losses import rate_at
from training.alignment.stepping import Step, SteppedTrainer
from training.attention import ATTENTION_NAME
from training.data.batches import PackedText, Pair, pack_pairs
from training.export import export
from training.models import DrafterLearner
from training.objective import Prefix, answer_loss

_WHERE = r"model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)|lm_head"
Events = Callable[[np.ndarray], Tensor]
"""Pixels [B, 5, 3, S, S] of the scenes with these seeds."""


@dataclass(frozen=True, slots=True)
class LoraRecipe:
    """How the drafter is tuned.

    Attributes:
        rank: of the matrices.
        alpha: their scale, over the rank.
        steps: optimiser steps.
        batch: scenes a step.
        room: tokens of text a scene.
        rate: the peak learning rate.
        seed: of weights and batches.
    """

    rank: int = 16
    alpha: int = 32
    steps: int = 600
    batch: int = 16
    room: int = 160
    rate: float = 1e-3
    seed: int = 0


class LoraTrainer(SteppedTrainer):
    """Tunes a drafter. A checkpoint holds all state; `run` goes on from the last one."""

    def __init__(
        self, recipe: LoraRecipe, learner: DrafterLearner, prefix: Prefix, states: Path, events: Events, out: Path
    ) -> None:
        """Take up the checkpoint in `out` if there is one.

        Args:
            recipe: how it is tuned.
            learner: the drafter; changed in place.
            prefix: of its prompt.
            states: extracted states of training scenes: the target's answers are taken from them.
            events: pictures of those scenes.
            out: for `checkpoint.pt`, `log.jsonl`, and the merged drafter.

        Raises:
            ModelError: there are no states.
            SettingsError: the checkpoint was made by another recipe.
        """
        super().__init__(recipe.steps, out)
        self.recipe, self.learner, self.prefix, self.events = recipe, learner, prefix, events
        self.answers = answers_of(states)
        self._mark = json.dumps({**asdict(recipe), "states": read_index(states).meta}, sort_keys=True)
        learner.language.set_attn_implementation(ATTENTION_NAME)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            config = LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, target_modules=_WHERE)
            self.tuner = LoraModel(learner.model, config, "default")
        self.tuned = {name: p for name, p in learner.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.tuned.values(), lr=recipe.rate, weight_decay=0.01)
        out.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._load()

    def run(self, progress: Callable[[Step], None], limit: int | None = None) -> None:
        """Train to the end, or for `limit` steps; writes the merged drafter when it stops."""
        super().run(progress, limit)
        export(self.merged(), self.out)

    def merged(self) -> DrafterLearner:
        """The drafter with what was learnt in its weights; training can go on with the other one."""
        model: Any = copy.deepcopy(self.tuner).merge_and_unload()
        model.model.set_attn_implementation("sdpa")
        return DrafterLearner(model.config, model).eval()

    def _train_step(self) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.step, self.recipe.steps, self.recipe.rate)
        seeds, text = self._draw()
        with torch.autocast("cpu", torch.bfloat16):
            loss, right = answer_loss(self.learner, self.prefix, self.events(seeds), text)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.tuned.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach()), float(right)

    def _draw(self) -> tuple[np.ndarray, PackedText]:
        rng = np.random.default_rng([self.recipe.seed, self.step])
        known = np.array(sorted(self.answers))
        seeds = rng.choice(known, size=min(self.recipe.batch, len(known)), replace=False)
        rows = [[self.answers[int(s)][i] for i in rng.permutation(len(self.answers[int(s)]))] for s in seeds]
        return seeds, pack_pairs(rows, self.recipe.room)

    def save(self) -> None:
        """Write the checkpoint: what is tuned, and the optimiser's state."""
        tuned = {name: parameter.detach() for name, parameter in self.tuned.items()}
        self._write({"recipe": self._mark, "step": self.step, "tuned": tuned, "optimizer": self.optimizer.state_dict()})

    def _load(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        if saved["recipe"] != self._mark:
            raise SettingsError(f"{self.out} was tuned by another recipe or on other states: take another --out")
        with torch.no_grad():
            for name, parameter in self.tuned.items():
                parameter.copy_(saved["tuned"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]


def answers_of(states: Path) -> dict[int, list[Pair]]:
    """Questions and the target's own answers, by the scene's seed."""
    found: dict[int, list[Pair]] = {}
    for chunk in load_chunks(states):
        starts, ids = chunk.starts.tolist(), chunk.tensors["target_ids"].tolist()
        for at, (seed, prompt) in enumerate(zip(chunk.tensors["scenes"].tolist(), chunk.prompts(), strict=True)):
            found.setdefault(seed, []).append(Pair(prompt, ids[starts[at] : starts[at + 1]]))
    return found
