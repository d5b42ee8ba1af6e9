"""From settings to the loaded drafter. Imports torch; runs in the drafter's thread."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from common.shipped import shipped_drafter
from common.tokenizer import Tokenizer
from edge.answering import DrafterModel
from edge.config import EdgeSettings
from edge.eventgpt import EventGPT


def load_drafter(settings: EdgeSettings) -> DrafterModel:
    """The drafter of these settings.

    Raises:
        ModelError: the model can't be loaded.
    """
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 2) // 2))
    folder = Path(settings.model) if settings.model else shipped_drafter()
    model = EventGPT.from_pretrained(
        folder,
        dtype=settings.dtype,
        quantization=None if settings.quantize == "none" else settings.quantize,  # type: ignore[arg-type]
        device=settings.device,
    )
    return DrafterModel(folder.resolve().name, model, Tokenizer.from_folder(folder))
