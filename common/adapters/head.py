"""A copy of the target's head, for whoever wants to know what it would choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from common.devices import as_device
from common.errors import ModelError
from common.model_loading import as_dtype
from common.video_llava import read_target_config, read_target_weights

_HEAD, _TABLE = "lm_head.weight", "model.language_model.embed_tokens.weight"


class TargetHead:
    """The last layer of a Video-LLaVA: states of the target's space to logits.

    Attributes:
        hidden_size: width of the states.
        vocab_size: ids from here on are never chosen.
    """

    def __init__(self, weight: Tensor, vocab_size: int) -> None:
        self._weight = weight
        self.hidden_size: int = weight.shape[1]
        self.vocab_size = min(vocab_size, weight.shape[0])

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, dtype: torch.dtype | str = torch.float32, device: str | torch.device = "cpu"
    ) -> TargetHead:
        """The head alone of the checkpoint in `folder`.

        Raises:
            ModelError: the folder is missing, broken, or of another kind; the message says what to do.
            SettingsError: dtype or device don't exist here.
        """
        folder, kind, place = Path(folder), as_dtype(dtype), as_device(device)
        config: Any = read_target_config(folder)
        weights = read_target_weights(folder, lambda key: key in (_HEAD, _TABLE))
        tied = bool(config.tie_word_embeddings or config.text_config.tie_word_embeddings)
        weight = weights.get(_TABLE if tied else _HEAD)
        if weight is None or weight.dim() != 2 or not weight.is_floating_point():
            raise ModelError(f"{folder} has no head ({_HEAD}) that can be copied: name an unquantised checkpoint")
        limit = min(config.image_token_index, config.video_token_index, config.text_config.vocab_size)
        return cls(weight.to(device=place, dtype=kind, copy=True), limit)

    def logits(self, states: Tensor) -> Tensor:
        """Logits [..., table] of states [..., hidden]; -inf from `vocab_size` on."""
        logits = linear(states.to(self._weight.dtype), self._weight)
        logits[..., self.vocab_size :] = -torch.inf
        return logits
