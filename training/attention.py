"""Attention of packed training rows: text behind a shared prefix, cheaper on a CPU than one masked square.

The prefix attends causally to itself; the text attends to the whole row under the mask. The upper right
block (prefix to text) is never computed, and plain bfloat16 matrix products beat the fused CPU kernel with
a mask about twofold here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION_NAME = "eventspec_training"


def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    shared_prefix: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Any]:
    """Attend with `query` over `key` and `value`, all [B, H, n, d]; returns [B, n, H, d] and no weights.

    Without `shared_prefix` (an ordinary forward) this is transformers' own attention.
    """
    if shared_prefix is None or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    hidden = ~attention_mask
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    with torch.autocast("cpu", enabled=False):
        query, key, value = (
            (query * scale).to(dtype),
            key.to(dtype).contiguous(),
            value.to(dtype).contiguous(),
        )
        cut = shared_prefix
        first = _attend(query[:, :, :cut], key[:, :, :cut], value[:, :, :cut], hidden[:, :, :cut, :cut])
        rest = _attend(query[:, :, cut:], key, value, hidden[:, :, cut:])
    return torch.cat([first, rest], dim=2).transpose(1, 2), None


def _attend(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
    scores = torch.matmul(query, key.transpose(2, 3)).masked_fill_(hidden, float("-inf"))
    return torch.matmul(torch.softmax(scores, -1), value)


AttentionInterface.register(ATTENTION_NAME, shared_prefix_attention)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
