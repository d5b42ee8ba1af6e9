"""One forward over tokens of many sessions: no padding in the row, attention over each session's own KV, in place.

Tokens of all sessions lie in one row [1, T]. A registered attention function (transformers' `AttentionInterface`)
writes the new keys and values into preallocated storage and attends over each session's own stretch of it. Nothing is
copied, nothing grows: rollback is handing a smaller `start` to the next forward.

The engine packs prompt chunks, drafts and single tokens of all due sessions; the drafter uses the same with one
segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from common.lean_llama import LeanLlama, is_plain

ATTENTION_NAME = "eventspec_packed"

# Up to this many query tokens a segment, all segments of neighbouring slots share one attention call (queries padded,
# KV a view).
_SHORT = 16
# A shared call may cover at most this many times the slots that are in the step; the others' rows are computed for
# nothing.
_SPARSITY = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """`count` tokens of the session in `slot`, to be written at KV positions `start ... start + count`."""

    slot: int
    start: int
    count: int


class KVStorage:
    """Preallocated keys and values: a [slots, kv_heads, capacity, head_dim] tensor each, for every layer."""

    def __init__(
        self,
        *,
        layers: int,
        slots: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (slots, kv_heads, capacity, head_dim)
        self.slots = slots
        self.capacity = capacity
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    @classmethod
    def for_model(cls, model: nn.Module, *, slots: int, capacity: int) -> KVStorage:
        """Storage that fits a transformers LLaMA model (`LlamaModel`), on its device and in its embeddings' dtype."""
        config: Any = model.config
        heads = config.num_attention_heads
        table = model.get_input_embeddings().weight  # type: ignore[operator]
        return cls(
            layers=config.num_hidden_layers,
            slots=slots,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            capacity=capacity,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            dtype=table.dtype,
            device=table.device,
        )

    @staticmethod
    def bytes_for(model: nn.Module, *, slots: int, capacity: int) -> int:
        """Bytes that `for_model` would take."""
        config: Any = model.config
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        item = model.get_input_embeddings().weight.element_size()  # type: ignore[operator]
        return int(2 * config.num_hidden_layers * slots * kv_heads * capacity * head_dim * item)

    @property
    def bytes(self) -> int:
        """Bytes held by keys and values."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))

    def clear(self, slot: int) -> None:
        """Zero a slot. Only needed where it may hold NaN: a masked NaN would still poison the next owner's sums."""
        for tensor in (*self.keys, *self.values):
            tensor[slot].zero_()


@dataclass(frozen=True, slots=True)
class _Shared:
    """Segments of few queries over a view of neighbouring slots: one attention call for all of them.

    `gather` [R, Q] are rows of the packed row (padded with row 0), `back` the flat places in [R * Q] of `rows`.
    """

    first: int
    last: int
    length: int
    gather: torch.Tensor
    back: torch.Tensor
    rows: torch.Tensor
    mask: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class _Single:
    """One segment with a call of its own: rows `row ... row + count` over its slot's first `length` positions."""

    slot: int
    row: int
    count: int
    length: int
    mask: torch.Tensor | None
    causal: bool


class PackedPlan:
    """Where each token of a packed row goes and what it sees; built once a step, used by every layer.

    Raises:
        ValueError: a segment is empty or doesn't fit into the storage, or a slot occurs twice.
    """

    def __init__(self, segments: Sequence[Segment], storage: KVStorage) -> None:
        self.storage = storage
        self.segments = tuple(segments)
        self._check()
        device = storage.keys[0].device
        slots = [s.slot for s in self.segments for _ in range(s.count)]
        positions = [s.start + i for s in self.segments for i in range(s.count)]
        self.slots = torch.tensor(slots, device=device)
        self.positions = torch.tensor(positions, device=device)
        self.tokens = len(slots)
        rows = self._first_rows()
        short = [(s, row) for s, row in zip(self.segments, rows, strict=True) if s.count <= _SHORT]
        grouped = len(short) > 1 and self._dense([s for s, _ in short])
        self.shared = [self._share(short, device)] if grouped else []
        self.single = [
            self._alone(s, row, device)
            for s, row in zip(self.segments, rows, strict=True)
            if not grouped or s.count > _SHORT
        ]

    def _check(self) -> None:
        if len({s.slot for s in self.segments}) != len(self.segments) or not self.segments:
            raise ValueError("a packed row needs at least one segment, and each slot once")
        for s in self.segments:
            if s.count < 1 or s.start < 0 or not 0 <= s.slot < self.storage.slots:
                raise ValueError(f"bad segment {s}")
            if s.start + s.count > self.storage.capacity:
                raise ValueError(f"{s} exceeds the KV capacity of {self.storage.capacity}")

    def _first_rows(self) -> list[int]:
        rows, row = [], 0
        for s in self.segments:
            rows.append(row)
            row += s.count
        return rows

    @staticmethod
    def _dense(segments: Sequence[Segment]) -> bool:
        slots = [s.slot for s in segments]
        return max(slots) - min(slots) + 1 <= _SPARSITY * len(slots)

    @staticmethod
    def _share(short: Sequence[tuple[Segment, int]], device: torch.device) -> _Shared:
        first = min(s.slot for s, _ in short)
        last = max(s.slot for s, _ in short) + 1
        queries = max(s.count for s, _ in short)
        length = max(s.start + s.count for s, _ in short)
        gather = [0] * ((last - first) * queries)
        limit = [1] * ((last - first) * queries)  # idle rows see position 0 only; their output is dropped
        back: list[int] = []
        rows: list[int] = []
        for s, row in short:
            base = (s.slot - first) * queries
            for i in range(queries):
                inside = min(i, s.count - 1)
                gather[base + i] = row + inside
                limit[base + i] = s.start + inside + 1
            back.extend(range(base, base + s.count))
            rows.extend(range(row, row + s.count))
        seen = torch.tensor(limit, device=device).view(last - first, 1, queries, 1)
        uniform = min(limit) == length
        mask = None if uniform else torch.arange(length, device=device) < seen
        return _Shared(
            first=first,
            last=last,
            length=length,
            gather=torch.tensor(gather, device=device).view(last - first, queries),
            back=torch.tensor(back, device=device),
            rows=torch.tensor(rows, device=device),
            mask=mask,
        )

    @staticmethod
    def _alone(s: Segment, row: int, device: torch.device) -> _Single:
        length = s.start + s.count
        causal = s.start == 0 and s.count > 1
        mask = None
        if s.count > 1 and not causal:
            last_seen = torch.arange(s.start, length, device=device).unsqueeze(1)
            mask = torch.arange(length, device=device) <= last_seen
        return _Single(slot=s.slot, row=row, count=s.count, length=length, mask=mask, causal=causal)

    def attend(
        self, layer: int, rows: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Write keys and values [T, kv_heads, d] in place, attend with queries [T, heads, d]: the same shape."""
        keys, values = self.storage.keys[layer], self.storage.values[layer]
        gqa = rows.shape[1] != key.shape[1]
        if not self.shared and len(self.single) == 1:
            one = self.single[0]
            place = (one.slot, slice(None), slice(one.length - one.count, one.length))
            keys[place] = key.transpose(0, 1)
            values[place] = value.transpose(0, 1)
            if one.count == 1 and not rows.is_cuda:
                return self._attend_once(one, rows, keys, values, scale)
            return self._attend_alone(one, _heads_first(rows), keys, values, scale, gqa)[0].transpose(0, 1)
        keys[self.slots, :, self.positions] = key
        values[self.slots, :, self.positions] = value
        query = _heads_first(rows)
        out = torch.empty_like(rows, memory_format=torch.contiguous_format)
        for group in self.shared:
            q = rows[group.gather].transpose(1, 2)  # [R, heads, Q, d]
            view = (slice(group.first, group.last), slice(None), slice(0, group.length))
            seen = scaled_dot_product_attention(
                q, keys[view], values[view], attn_mask=group.mask, scale=scale, enable_gqa=gqa
            )
            flat = seen.transpose(1, 2).reshape(-1, *rows.shape[1:])
            out[group.rows] = flat[group.back]
        for one in self.single:
            part = query[:, :, one.row : one.row + one.count]
            seen = self._attend_alone(one, part, keys, values, scale, gqa)
            out[one.row : one.row + one.count] = seen[0].transpose(0, 1)
        return out

    @staticmethod
    def _attend_once(
        one: _Single, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """One token of one session: on a CPU two small products cost a third of the fused kernel's call."""
        key, value = keys[one.slot, :, : one.length], values[one.slot, :, : one.length]  # [kv_heads, length, d]
        query = rows.view(key.shape[0], -1, rows.shape[-1]) * scale
        weights = torch.bmm(query, key.transpose(1, 2)).softmax(dim=-1)
        return torch.bmm(weights, value).view(rows.shape)

    @staticmethod
    def _attend_alone(
        one: _Single,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scale: float,
        gqa: bool,
    ) -> torch.Tensor:
        view = (slice(one.slot, one.slot + 1), slice(None), slice(0, one.length))
        return scaled_dot_product_attention(
            query,
            keys[view],
            values[view],
            attn_mask=one.mask,
            is_causal=one.causal,
            scale=scale,
            enable_gqa=gqa,
        )


def _heads_first(rows: torch.Tensor) -> torch.Tensor:
    """[T, heads, d] as the [1, heads, T, d] that fused attention takes."""
    return rows.transpose(0, 1).unsqueeze(0)


def _packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed: PackedPlan | None = None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    if packed is None:  # an ordinary forward (`generate`, training) of a model that also serves packed rows
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    rows = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
    return packed.attend(module.layer_idx, *rows, scale).unsqueeze(0), None  # type: ignore[arg-type, call-arg]


AttentionInterface.register(ATTENTION_NAME, _packed_attention)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


_LEAN = "_eventspec_lean"


def use_packed_attention(model: nn.Module) -> None:
    """Make transformers' `LlamaModel` ready for `packed_forward`, once it is on its device, in its dtype.

    Ordinary forwards keep working (SDPA).
    """
    model.config._attn_implementation = ATTENTION_NAME  # type: ignore[union-attr]
    lean = LeanLlama(model) if is_plain(model) else None
    object.__setattr__(model, _LEAN, lean)  # beside the module's own registry: it isn't a part, it holds no weights


def packed_forward(model: nn.Module, embeddings: torch.Tensor, plan: PackedPlan, *, last: int = 1) -> torch.Tensor:
    """Run a LLaMA model's layers over one packed row.

    Args:
        model: transformers' `LlamaModel`, after `use_packed_attention`.
        embeddings: [T, hidden], in the order of the plan's segments.
        plan: where the tokens go; its storage receives their keys and values.
        last: layers whose states are wanted, at most as many as there are.

    Returns:
        [T, hidden], after the final norm; with `last` > 1 behind those of the layers before, [T, last * hidden], as
        transformers' `hidden_states[-last:]` side by side.
    """
    lean: LeanLlama | None = getattr(model, _LEAN, None)
    if lean is not None:
        return lean.forward(embeddings, plan.positions, partial(plan.attend, scale=lean.head_dim**-0.5), last=last)
    hidden = embeddings.unsqueeze(0)
    positions = plan.positions.unsqueeze(0)
    rotary = model.rotary_emb(hidden, position_ids=positions)  # type: ignore[operator]
    before: list[torch.Tensor] = []
    for layer in model.layers:  # type: ignore[union-attr]
        hidden = layer(
            hidden,
            attention_mask=None,
            position_embeddings=rotary,
            position_ids=positions,
            past_key_values=None,
            use_cache=False,
            packed=plan,
        )
        before.append(hidden[0])
        del before[:-last]
    normed: torch.Tensor = model.norm(hidden)[0]  # type: ignore[operator]
    return normed if last == 1 else torch.cat((*before[:-1], normed), dim=-1)
