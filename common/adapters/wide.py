"""L3: wide blocks beside the state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.adapters.base import Adapter
from common.adapters.bottleneck import START
from common.adapters.config import AdapterConfig


class WideAdapter(Adapter):
    """`x = LN(h)`, then `x += a_i * Linear(GELU(LN(Linear(x))))` for each block, then a norm."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        hidden, width = config.target_hidden, config.width
        self.input_norm = nn.LayerNorm(hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(hidden, width, bias=False),
                nn.LayerNorm(width),
                nn.GELU(),
                nn.Linear(width, hidden, bias=False),
            )
            for _ in range(config.blocks)
        )
        self.weights = nn.Parameter(torch.full((config.blocks,), START))
        self.norm = nn.LayerNorm(hidden)
        for block in self.blocks:
            nn.init.zeros_(block[-1].weight)  # type: ignore[index]

    def adapt(self, fused: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """See `Adapter.adapt`."""
        x = self.input_norm(self.project(fused))
        for weight, block in zip(self.weights, self.blocks, strict=True):
            x = x + weight * block(x)
        normed: Tensor = self.norm(x)
        return normed
