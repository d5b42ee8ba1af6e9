"""Numbers as signed bytes with one scale a row: what travels, and the same rounding for training."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 127
_LEAST = 1e-7  # smallest scale; half precision holds it


def to_int8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [..., d] as int8 [..., d] and scales [...] in half precision.

    The scale is rounded first, so that both sides multiply by the same number.
    """
    wide = rows.detach().float().nan_to_num(0.0, 0.0, 0.0)
    scales = (wide.abs().amax(dim=-1) / STEPS).clamp(_LEAST, 65504.0).half()
    codes = (wide / scales.float().unsqueeze(-1)).round().clamp(-STEPS, STEPS)
    return codes.to(torch.int8), scales


def from_int8(codes: Tensor, scales: Tensor) -> Tensor:
    """What `to_int8` was given, rounded: float32 [..., d]."""
    return codes.float() * scales.float().unsqueeze(-1)


def fake_int8(rows: Tensor) -> Tensor:
    """Rows as they come out of the wire; gradients pass as if nothing had been rounded."""
    rounded = from_int8(*to_int8(rows)).to(rows.dtype)
    return rows + (rounded - rows).detach() if rows.requires_grad else rounded
