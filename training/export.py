"""From a training checkpoint to a model folder (fp16 safetensors), and back to a learner for evaluation."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import VideoLlavaForConditionalGeneration

from common.errors import ModelError
from edge.eventgpt import EventGPT
from training.growth import grow
from training.models import DrafterLearner, Learner, TargetLearner, drafter_config, target_config


def load_checkpoint(kind: str, folder: Path) -> Learner:
    """The learner (`target` or `drafter`) as it stands in `folder/checkpoint.pt`, in fp32.

    Raises:
        ModelError: there is no checkpoint.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        raise ModelError(f"no checkpoint in {folder}; run `eventspec-train {kind}` first")
    state = torch.load(path, weights_only=True)["learner"]
    depth = 1 + max(int(key.split("layers.")[1].split(".")[0]) for key in state if _is_language(key))
    learner: Learner = (
        TargetLearner(target_config(depth)) if kind == "target" else DrafterLearner(drafter_config(depth))
    )
    grow(learner.language, depth)
    learner.load_state_dict(state)
    return learner.eval()


def export(learner: Learner, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` in fp16.

    Video-LLaVA's image tower becomes a copy of its video tower.
    """
    model: Any = copy.deepcopy(learner.model)
    if isinstance(learner, TargetLearner):
        model.model.image_tower.load_state_dict(model.model.video_tower.state_dict())
        model.set_attn_implementation("sdpa")
    model.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


def load_exported(kind: str, folder: Path) -> Learner:
    """A learner around the weights of a model folder, in fp32: what is served, not what was trained."""
    if kind == "target":
        model = VideoLlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        return TargetLearner(model.config, model).eval()
    drafter = EventGPT.from_pretrained(folder)
    return DrafterLearner(drafter.config, drafter).eval()


def _is_language(key: str) -> bool:
    return "layers." in key and "tower" not in key
