"""Trains the other drafter: the shipped one's eyes as they are, its language model in another vocabulary."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from common.shipped import shipped_drafter
from common.tokenizer import Tokenizer
from edge.eventgpt import EventGPT
from training.export import export
from training.loop import Trainer
from training.models import DrafterLearner
from training.objective import prefix_of
from training.plan import Phase
from training.vocabulary.shards import RespelledShards
from training.vocabulary.tokenizer import VOCABULARY, build_other_tokenizer, save_tokenizer
from training.vocabulary.transplant import transplant

OTHER_PLAN = (Phase("respell", "answers", steps=1000, rate=1.5e-3, batch=32, layers=2, room=224, warm=0.05),)


class OtherLearner(DrafterLearner):
    """The drafter with its vision tower at rest: only the language model and the projector learn."""

    def trained(self, goal: str) -> Iterator[nn.Parameter]:
        """All parameters but the vision tower's."""
        idle = {id(p) for p in self.model.model.visual_tower.parameters()}
        return (p for p in self.parameters() if id(p) not in idle)

    def features(self, pixels: Tensor) -> Tensor:
        """Event tokens [B, 22, hidden] of pixels [B, T, 3, S, S]; no gradient reaches the tower."""
        for parameter in self.model.model.visual_tower.parameters():
            parameter.requires_grad_(False)
        return super().features(pixels)


def new_other(wanted: Tokenizer) -> OtherLearner:
    """The shipped drafter with the other vocabulary's tables, untrained in them."""
    known = Tokenizer.from_folder(shipped_drafter())
    model = transplant(EventGPT.from_pretrained(shipped_drafter()), known, wanted, VOCABULARY)
    return OtherLearner(model.config, model)


def other_trainer(data: Path, out: Path, seed: int, plan: Sequence[Phase] = OTHER_PLAN) -> Trainer:
    """A trainer that goes on where `out` stands; the tokenizer is written into `out` first.

    Raises:
        SettingsError: there is no training data in `data`.
    """
    if not (out / "tokenizer.json").exists():
        save_tokenizer(build_other_tokenizer(), out)
    wanted = Tokenizer.from_folder(out)
    learner = new_other(wanted)
    shards = RespelledShards(data, "events", Tokenizer.from_folder(shipped_drafter()), wanted)
    return Trainer(learner, prefix_of(learner, wanted.raw), shards, plan, out, seed)


def load_other(run: Path) -> OtherLearner:
    """The drafter as it stands in `run/checkpoint.pt`, in fp32."""
    learner = new_other(Tokenizer.from_folder(run))
    learner.load_state_dict(torch.load(run / "checkpoint.pt", weights_only=True)["learner"])
    learner.language.set_attn_implementation("sdpa")
    learner.eval()
    return learner


def export_other(run: Path, folder: Path) -> None:
    """Write the drafter of a run as it is served: `config.json`, fp16 weights, tokenizer."""
    export(load_other(run), folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(run / name, folder / name)
