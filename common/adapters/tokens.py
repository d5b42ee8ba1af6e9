"""TokenAdapter: the drafter's ids in, the target's ids out; no states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.adapters.config import AdapterConfig, Reach
from common.errors import ModelError

KEEP = 5.0  # untrained, the drafter's own id stays


class TokenAdapter(nn.Module):
    """Embedding and learned positions, encoder layers that see the whole chunk, a norm, logits.

    What it learns is where to differ: each id has a learned weight (`keep`) by which the drafter's own choice stays.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        size = config.embedding
        self.embedding = nn.Embedding(config.vocab_size, size)
        self.positions = nn.Parameter(torch.zeros(config.positions, size))
        layer = nn.TransformerEncoderLayer(size, config.heads, config.width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, config.blocks, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, config.vocab_size)
        self.keep = nn.Parameter(torch.full((config.vocab_size,), KEEP))
        if not self.positions.is_meta:
            nn.init.normal_(self.positions, std=0.02)

    @property
    def reach(self) -> Reach:
        """It sees its whole chunk."""
        return self.config.reach

    @property
    def needs_target(self) -> bool:
        """Never."""
        return False

    @property
    def parameters_count(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, ids: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Logits [..., n, vocab] for chunks of ids [..., n]; `mask` bool [..., n] is False at padding.

        Raises:
            ModelError: the chunk is longer than the positions.
        """
        count = ids.shape[-1]
        if count > self.config.positions:
            raise ModelError(f"this adapter reads chunks of {self.config.positions} tokens, not {count}")
        many = ids.reshape(-1, count)
        padding = None if mask is None else ~mask.reshape(-1, count)
        x = self.norm(self.encoder(self.embedding(many) + self.positions[:count], src_key_padding_mask=padding))
        logits: Tensor = self.head(x)
        own = many.unsqueeze(-1)
        logits = logits.scatter_add(-1, own, self.keep[many].to(logits.dtype).unsqueeze(-1))
        return logits.view(*ids.shape, -1)
