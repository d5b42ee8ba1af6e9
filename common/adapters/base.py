"""What all adapters of states have in common: layers fused, sizes matched, then the level's own work."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.adapters.config import AdapterConfig, Reach
from common.errors import ModelError


class Adapter(nn.Module):
    """Maps the drafter's states to the target's space.

        fuse   [..., n, layers * drafter_hidden] -> [..., n, drafter_hidden]    where the drafter is
        adapt  [..., n, drafter_hidden]          -> [..., n, target_hidden]     where the target's head is

    `forward` is both. With one layer `fuse` passes on what it gets, and with equal sizes there is no projection: the
    parameters are then the level's own.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        drafter, target = config.drafter_hidden, config.target_hidden
        self.fusion: nn.Linear | None = None
        if config.layers > 1:
            self.fusion = nn.Linear(config.input_width, drafter, bias=False)
            self._keep_last(self.fusion, drafter)
        self.projection: nn.Linear | None = None
        if drafter != target:
            self.projection = nn.Linear(drafter, target, bias=False)

    @staticmethod
    def _keep_last(fusion: nn.Linear, size: int) -> None:
        """Untrained, the fusion passes the last layer on."""
        if fusion.weight.is_meta:
            return
        with torch.no_grad():
            fusion.weight.zero_()
            fusion.weight[:, -size:] = torch.eye(size)

    @property
    def reach(self) -> Reach:
        """Which positions an adapted state depends on."""
        return self.config.reach

    @property
    def needs_target(self) -> bool:
        """True if the target's own states go in too."""
        return False

    @property
    def parameters_count(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def fuse(self, states: Tensor) -> Tensor:
        """One state [..., n, drafter_hidden] of the states of `layers` layers, side by side."""
        if states.shape[-1] != self.config.input_width:
            raise ModelError(
                f"this adapter reads states of width {self.config.input_width} ({self.config.layers} layers of "
                f"{self.config.drafter_hidden}), not {states.shape[-1]}"
            )
        return states if self.fusion is None else self.fusion(states)

    def project(self, fused: Tensor) -> Tensor:
        """States at the target's width."""
        return fused if self.projection is None else self.projection(fused)

    def adapt(self, fused: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """States [..., n, target_hidden] for the target's head, of fused ones [..., n, drafter_hidden].

        Args:
            fused: what `fuse` made.
            mask: bool [..., n], False where padding is; only levels that look ahead need it.
        """
        raise NotImplementedError

    def forward(self, states: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """`adapt(fuse(states))`: [..., n, input width] -> [..., n, target_hidden]."""
        return self.adapt(self.fuse(states), mask=mask)
