"""LLaMA's layers in as few operations as they need, for packed rows of a few tokens.

At one token a forward, a small model's time goes into the number of operations, not into their size: transformers'
layer takes about 45, this one 15. The weights are the model's own: projections that read the same input are joined
into one matrix, of which the model's parameters become views, so ordinary forwards of the model go on working and
nothing is held twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm, silu


class Attend(Protocol):
    """Writes a layer's keys and values [T, kv_heads, d] into storage, attends with queries [T, heads, d]: the same."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class _Layer:
    norm1: Tensor
    qkv: Tensor  # [(heads + 2 kv_heads) d, hidden]
    qkv_bias: Tensor | None
    out: nn.Linear
    norm2: Tensor
    gate_up: Tensor  # [2 intermediate, hidden]
    down: nn.Linear


class LeanLlama:
    """The layers and the final norm of a transformers `LlamaModel`; build it once the model is where it stays."""

    def __init__(self, model: nn.Module) -> None:
        """Join the projections of `model`. Ask `is_plain` first."""
        parts: Any = model
        attention = parts.layers[0].self_attn
        self.head_dim: int = attention.head_dim
        self.kv_heads = attention.k_proj.out_features // self.head_dim
        self.heads = attention.q_proj.out_features // self.head_dim
        self._eps: float = parts.config.rms_norm_eps
        self._rotary: Any = parts.rotary_emb
        self._norm: Tensor = parts.norm.weight
        with torch.no_grad():
            self._layers = [_join(layer) for layer in parts.layers]

    def forward(self, embeddings: Tensor, positions: Tensor, attend: Attend, *, last: int = 1) -> Tensor:
        """Run the layers.

        Args:
            embeddings: [T, hidden].
            positions: int64 [T].
            attend: attention of each layer, with its storage.
            last: layers whose states are wanted.

        Returns:
            [T, hidden], after the final norm; with `last` > 1 behind those of the layers before, [T, last * hidden].
        """
        hidden = embeddings
        before: list[Tensor] = []
        size = hidden.shape[-1:]
        count, turned = len(hidden), self.heads + self.kv_heads
        cos, sin = self._turns(hidden, positions)
        half = self.head_dim // 2
        for index, layer in enumerate(self._layers):
            joined = linear(rms_norm(hidden, size, layer.norm1, self._eps), layer.qkv, layer.qkv_bias)
            heads = joined.view(count, turned + self.kv_heads, self.head_dim)
            plain = heads[:, :turned]
            rotated = torch.addcmul(plain * cos, plain.roll(half, -1), sin)
            seen = attend(index, rotated[:, : self.heads], rotated[:, self.heads :], heads[:, turned:])
            hidden = hidden + layer.out(seen.reshape(count, -1))
            gate, up = linear(rms_norm(hidden, size, layer.norm2, self._eps), layer.gate_up).chunk(2, dim=-1)
            hidden = hidden + layer.down(silu(gate) * up)
            before.append(hidden)
            del before[:-last]
        normed = rms_norm(hidden, size, self._norm, self._eps)
        return normed if last == 1 else torch.cat((*before[:-1], normed), dim=-1)

    def _turns(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, 1, d] of the rotary embedding, the sines with the sign of `rotate_half`."""
        cos, sin = self._rotary(hidden, position_ids=positions.unsqueeze(0))
        half = self.head_dim // 2
        signed = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        return cos[0].unsqueeze(1), signed[0].unsqueeze(1)


def is_plain(model: nn.Module) -> bool:
    """True if `LeanLlama` computes what the model's own layers would: ordinary matrices (not quantised), SiLU."""
    parts: Any = model
    config = parts.config
    if config.model_type != "llama" or config.hidden_act != "silu" or getattr(config, "mlp_bias", False):
        return False
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    for layer in parts.layers:
        matrices = [getattr(layer.self_attn, name) for name in names]
        matrices += [layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj]
        if any(type(matrix) is not nn.Linear for matrix in matrices):
            return False
    return True


def _join(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    three = (attention.q_proj, attention.k_proj, attention.v_proj)
    biases = [matrix.bias for matrix in three]
    return _Layer(
        norm1=layer.input_layernorm.weight,
        qkv=_joined(three),
        qkv_bias=torch.cat(biases) if biases[0] is not None else None,
        out=attention.o_proj,
        norm2=layer.post_attention_layernorm.weight,
        gate_up=_joined((mlp.gate_proj, mlp.up_proj)),
        down=mlp.down_proj,
    )


def _joined(matrices: tuple[nn.Linear, ...]) -> Tensor:
    """One matrix; the given ones become views of its rows."""
    joined = torch.cat([matrix.weight.detach() for matrix in matrices])
    row = 0
    for matrix in matrices:
        matrix.weight.data = joined[row : row + matrix.out_features]
        row += matrix.out_features
    return joined
