"""Grow the depth of a language model without changing what it computes: insert blocks whose output is zero.

A shallow model learns the task in a fraction of the time; the inserted blocks start as identities (their
output projections are zero, everything else is drawn as usual) and are trained with the rest for a while.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer


def grow(model: LlamaModel, layers: int, keep: int = 0) -> None:
    """Make `model` `layers` deep in place.

    Args:
        model: a LLaMA.
        layers: depth from now on.
        keep: the lowest blocks stay as they are; new blocks go behind the others, as evenly as they can.

    Raises:
        ValueError: the model is deeper already.
    """
    old = list(model.layers)
    missing = layers - len(old)
    if missing < 0:
        raise ValueError(f"a model of {len(old)} layers can't be grown to {layers}")
    if missing == 0:
        return
    model.config.num_hidden_layers = layers
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[0]] * layers
    blocks: list[nn.Module] = []
    for index, block in enumerate(old):
        blocks.append(block)
        place, places = index - keep, len(old) - keep
        wanted = 0 if place < 0 else (place + 1) * missing // places - place * missing // places
        blocks += [_identity(model, block) for _ in range(wanted)]
    for index, block in enumerate(blocks):
        block.self_attn.layer_idx = index  # type: ignore[union-attr]
    model.layers = nn.ModuleList(blocks)


def _identity(model: LlamaModel, like: nn.Module) -> nn.Module:
    block: nn.Module = LlamaDecoderLayer(model.config, layer_idx=0)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if parameter.dim() == 2:
                zero = name.startswith(("self_attn.o_proj", "mlp.down_proj"))
                parameter.zero_() if zero else parameter.normal_(0.0, model.config.initializer_range)
    return block.to(next(like.parameters()).dtype)
