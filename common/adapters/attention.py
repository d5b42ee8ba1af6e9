"""L4, L5 and L5F: one attention layer over the answer's states, in both directions or causal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from common.adapters.base import Adapter
from common.adapters.bottleneck import START
from common.adapters.config import AdapterConfig
from common.errors import ModelError


class Cache:
    """Keys and values of one answer's positions, written in place: [heads, capacity, d] each."""

    def __init__(self, config: AdapterConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.heads, config.positions, config.target_hidden // config.heads)
        self.capacity = config.positions
        self.length = 0
        self._keys = torch.zeros(shape, dtype=dtype, device=device)
        self._values = torch.zeros(shape, dtype=dtype, device=device)

    def store(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write [1, heads, n, d] behind what is there; returns all so far."""
        end = self.length + keys.shape[-2]
        if end > self.capacity:
            raise ModelError(f"this adapter has {self.capacity} positions, and the answer goes beyond them")
        self._keys[:, self.length : end] = keys[0]
        self._values[:, self.length : end] = values[0]
        self.length = end
        return self._keys[None, :, :end], self._values[None, :, :end]


class AttentionLayer(nn.Module):
    """Pre-norm attention and feed-forward, then a norm and a linear layer that starts as the identity."""

    def __init__(self, hidden: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.attention_out = nn.Linear(hidden, hidden)
        self.ffn_norm = nn.LayerNorm(hidden)
        self.ffn = nn.Sequential(nn.Linear(hidden, width), nn.GELU(), nn.Linear(width, hidden))
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, hidden)
        if not self.out.weight.is_meta:
            nn.init.eye_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, *, causal: bool, mask: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """States [B, n, hidden] to the same; `mask` bool [B, n] is False at padding."""
        x = x + self.attention_out(self._attend(self.attention_norm(x), causal, mask, cache))
        x = x + self.ffn(self.ffn_norm(x))
        seen: Tensor = self.out(self.norm(x))
        return seen

    def _attend(self, x: Tensor, causal: bool, mask: Tensor | None, cache: Cache | None) -> Tensor:
        batch, count, hidden = x.shape
        joined = self.qkv(x).view(batch, count, 3, self.heads, hidden // self.heads)
        query, key, value = joined.permute(2, 0, 3, 1, 4)  # [B, heads, n, d] each
        seen = None
        if cache is not None:
            first = cache.length
            key, value = cache.store(key, value)
            columns = torch.arange(cache.length, device=x.device)
            seen, causal = columns <= columns[first:].unsqueeze(1), False
        elif mask is not None and not causal:  # causal ones never see the padding behind them
            seen = mask[:, None, None, :]
        attended = scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=causal)
        return attended.transpose(1, 2).reshape(batch, count, hidden)


class AttentionAdapter(Adapter):
    """L4: `a * h + layer(h)`, each state seeing all of its chunk, later ones too."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        self.layer = AttentionLayer(config.target_hidden, config.heads, config.width)
        self.weight = nn.Parameter(torch.tensor(START))

    def adapt(self, fused: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """See `Adapter.adapt`; [n, hidden] is one chunk, [B, n, hidden] are several."""
        h = self.project(fused)
        many, valid = _as_batch(h), None if mask is None else mask.reshape(-1, mask.shape[-1])
        seen: Tensor = self.layer(many, causal=False, mask=valid)
        return self.weight * h + seen.view(h.shape)


class CausalAdapter(Adapter):
    """L5: learned positions and a causal layer over all states of the answer so far: `a * h + layer(LN(h) + p)`.

    With token fusion the embedding of the token before each state (the one that it was fed) enters through a linear
    layer: `h` is then `Linear([h, e])`.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        hidden = config.target_hidden
        self.token_fusion = nn.Linear(2 * hidden, hidden) if config.token_fusion else None
        self.input_norm = nn.LayerNorm(hidden)
        self.positions = nn.Parameter(torch.zeros(config.positions, hidden))
        self.layer = AttentionLayer(hidden, config.heads, config.width)
        self.weight = nn.Parameter(torch.tensor(START))
        if not self.positions.is_meta:
            nn.init.normal_(self.positions, std=0.02)

    def adapt(
        self,
        fused: Tensor,
        *,
        mask: Tensor | None = None,
        embeddings: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """See `Adapter.adapt`.

        Args:
            fused: states of the answer from its first position on; with a cache, those behind what it holds.
            mask: not needed: padding comes behind.
            embeddings: with token fusion, [..., n, target_hidden]: the target's embedding of the token before each.
            cache: keys and values of the positions before, which takes these in.
        """
        h = self.project(fused)
        if self.token_fusion is not None:
            if embeddings is None:
                raise ModelError("this adapter fuses tokens: give their embeddings")
            h = self.token_fusion(torch.cat((h, embeddings), dim=-1))
        return self.weight * h + self._causal(h, cache)

    def forward(self, states: Tensor, *, mask: Tensor | None = None, embeddings: Tensor | None = None) -> Tensor:
        """`adapt(fuse(states))`."""
        return self.adapt(self.fuse(states), mask=mask, embeddings=embeddings)

    def _causal(self, h: Tensor, cache: Cache | None) -> Tensor:
        first = 0 if cache is None else cache.length
        end = first + h.shape[-2]
        if end > len(self.positions):
            raise ModelError(f"this adapter has {len(self.positions)} positions, and the answer goes beyond them")
        x = self.input_norm(h) + self.positions[first:end]
        seen: Tensor = self.layer(_as_batch(x), causal=True, cache=cache)
        return seen.view(h.shape)


class FusedAdapter(CausalAdapter):
    """L5F: L5 whose input is the drafter's state and the target's of the position before, through a gate.

        x = g * Mix([d, t]) + (1 - g) * t,  g = sigmoid(Gate([d, t]));  then  a * t + layer(LN(x) + p)

    The target's state t at the position before is the one that chose the token which led here.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        hidden = config.target_hidden
        self.gate = nn.Linear(2 * hidden, hidden)
        self.mix = nn.Linear(2 * hidden, hidden)

    @property
    def needs_target(self) -> bool:
        """See `Adapter.needs_target`."""
        return True

    def adapt(  # type: ignore[override]
        self, fused: Tensor, *, previous: Tensor, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """See `CausalAdapter.adapt`.

        Args:
            fused: the drafter's states.
            previous: [..., n, target_hidden], the target's state one position before each (position 0: zeros). Where
                it isn't known yet, what this adapter said of that position stands for it.
            mask: not needed.
            cache: as for L5.
        """
        d = self.project(fused)
        both = torch.cat((d, previous), dim=-1)
        gate = torch.sigmoid(self.gate(both))
        x = gate * self.mix(both) + (1 - gate) * previous
        return self.weight * previous + self._causal(x, cache)

    def forward(  # type: ignore[override]
        self, states: Tensor, *, previous: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """`adapt(fuse(states))`."""
        return self.adapt(self.fuse(states), previous=previous, mask=mask)


def _as_batch(x: Tensor) -> Tensor:
    return x.reshape(-1, *x.shape[-2:])
