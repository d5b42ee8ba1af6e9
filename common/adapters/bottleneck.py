"""L1 and L2: a bottleneck beside the state; L1S: a bottleneck in its way, whose waist can travel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from common.adapters.base import Adapter
from common.adapters.config import AdapterConfig
from common.adapters.quantized import fake_int8

START = 0.1  # of the learned weight of what an adapter adds


class Bottleneck(nn.Module):
    """`h + a * Up(GELU(Down(LN(h))))`; untrained it passes h on."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.down = nn.Linear(hidden, width, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.weight = nn.Parameter(torch.tensor(START))
        nn.init.zeros_(self.up.weight)

    def forward(self, h: Tensor) -> Tensor:
        """[..., hidden] to the same."""
        added: Tensor = self.up(gelu(self.down(self.norm(h))))
        return h + self.weight * added


class BottleneckAdapter(Adapter):
    """L1 (one block) and L2 (three): bottlenecks one after the other, then a norm."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        hidden = config.target_hidden
        self.blocks = nn.ModuleList(Bottleneck(hidden, config.width) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(hidden)

    def adapt(self, fused: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """See `Adapter.adapt`."""
        h = self.project(fused)
        for block in self.blocks:
            h = block(h)
        normed: Tensor = self.norm(h)
        return normed


class SplitAdapter(Adapter):
    """L1S: everything goes through the waist, so the waist can be what travels.

        encode (edge)   c = Down(LN(h))                                     [..., width], int8 and a scale a token
        decode (cloud)  LN(Expand(c) + a * Out(GELU(Widen(c))))             [..., target_hidden]

    L1's sum needs h itself where its output is wanted: sending only L1's waist would drop h, and the drafts with it.
    Here nothing passes beside the waist; in its place `Expand` gives back what the waist holds of h in a straight line
    (untrained: the transpose of `Down`, whose rows are orthonormal, where the sizes allow), and a wider layer adds to
    it what needs more. Forward rounds the waist as the wire does, and gradients pass the rounding, so that training
    sees what serving gets.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        self.projection = None  # `expand` matches the sizes
        drafter, target, width = config.drafter_hidden, config.target_hidden, config.width
        self.input_norm = nn.LayerNorm(drafter)
        self.down = nn.Linear(drafter, width, bias=False)
        self.expand = nn.Linear(width, target, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.out = nn.Linear(4 * width, target, bias=False)
        self.weight = nn.Parameter(torch.tensor(START))
        self.norm = nn.LayerNorm(target)
        nn.init.zeros_(self.out.weight)
        if not self.down.weight.is_meta:
            nn.init.orthogonal_(self.down.weight)
            if drafter == target:
                with torch.no_grad():
                    self.expand.weight.copy_(self.down.weight.T)

    def encode(self, fused: Tensor) -> Tensor:
        """The waist [..., width] of fused states."""
        waist: Tensor = self.down(self.input_norm(fused))
        return waist

    def decode(self, waist: Tensor) -> Tensor:
        """States [..., target_hidden] of a waist."""
        h = self.expand(waist) + self.weight * self.out(gelu(self.widen(waist)))
        normed: Tensor = self.norm(h)
        return normed

    def adapt(self, fused: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """See `Adapter.adapt`; the waist is rounded as on the wire."""
        return self.decode(fake_int8(self.encode(fused)))
