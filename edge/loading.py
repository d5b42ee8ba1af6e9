"""From settings to the loaded drafter. Imports torch; runs in the drafter's thread."""

from __future__ import annotations

from pathlib import Path

import torch

from common.shipped import shipped_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.vision import TargetVision
from edge.answering import DrafterModel
from edge.config import EdgeSettings
from edge.eventgpt import EventGPT


def load_vision(settings: EdgeSettings) -> TargetVision:
    """The target's vision side, for `edge_vision`, in the drafter's precision and on its device.

    Raises:
        ModelError: it can't be loaded.
    """
    folder = Path(settings.vision_model) if settings.vision_model else shipped_target()
    return TargetVision.from_pretrained(folder, dtype=settings.dtype, device=settings.device)


def load_drafter(settings: EdgeSettings) -> DrafterModel:
    """The drafter of these settings.

    Raises:
        ModelError: the model can't be loaded.
    """
    torch.set_num_threads(settings.torch_threads)
    folder = Path(settings.model) if settings.model else shipped_drafter()
    model = EventGPT.from_pretrained(
        folder,
        dtype=settings.dtype,
        quantization=settings.quantization,
        device=settings.device,
    )
    return DrafterModel(folder.resolve().name, model, Tokenizer.from_folder(folder))
