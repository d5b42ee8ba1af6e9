"""From settings to the loaded drafter. Imports torch; runs in the drafter's thread."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from common.adapters import Adapter, load_adapter
from common.adapters.head import TargetHead
from common.errors import ModelError
from common.shipped import shipped_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.vision import TargetVision
from edge.adapting import EdgeAdapter, edge_adapter
from edge.config import EdgeSettings
from edge.drafter_model import DrafterModel
from edge.eventgpt import EventGPT
from edge.forms import DraftForm
from edge.vocabularies import Vocabularies, vocabularies
from edge.vocabulary import Way


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
    own = Tokenizer.from_folder(folder)
    known = _vocabularies(settings, own, model.config.eos_token_ids)
    return DrafterModel(folder.resolve().name, model, own, _load_adapter(settings, model), known)


def _vocabularies(settings: EdgeSettings, own: Tokenizer, own_eos: frozenset[int]) -> Vocabularies:
    """The drafter's vocabulary, and that of the target whose tokenizer or folder was named."""
    targets = []
    if settings.target_tokenizer:
        targets.append(Tokenizer.from_folder(settings.target_tokenizer))
    if settings.vision_model:
        with contextlib.suppress(ModelError):  # a vision model may come without
            targets.append(Tokenizer.from_folder(settings.vision_model))
    known = vocabularies(own, targets, Way(settings.across), own_eos)
    if settings.adapter and known.targets:
        raise ModelError(
            "an adapter needs a drafter of the target's vocabulary, this one has another: leave out --adapter"
        )
    return known


def _load_adapter(settings: EdgeSettings, model: EventGPT) -> EdgeAdapter | None:
    if not settings.adapter:
        return None
    form = DraftForm(settings.draft_form)
    loaded = load_adapter(settings.adapter, dtype=settings.dtype, device=settings.device)
    target = None
    if form is DraftForm.MIRROR and isinstance(loaded.adapter, Adapter):
        place = Path(settings.vision_model) if settings.vision_model else shipped_target()
        target = TargetHead.from_pretrained(place, dtype=settings.dtype, device=settings.device)
    fitted = edge_adapter(
        loaded,
        form,
        drafter_hidden=model.config.hidden_size,
        drafter_layers=model.config.num_hidden_layers,
        vocab_size=model.vocab_size,
        target=target,
    )
    return fitted.learning(settings.distill) if settings.distill else fitted
