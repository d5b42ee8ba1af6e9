"""One answer's adapted states, made as its states come and taken back by moving a number."""

from __future__ import annotations

import torch
from torch import Tensor

from common.adapters.attention import Cache, CausalAdapter
from common.adapters.base import Adapter
from common.adapters.config import Reach
from common.adapters.tokens import TokenAdapter
from common.errors import ModelError, SessionError


class Incremental:
    """Adapted states of one answer, position by position.

    A causal adapter's keys and values lie in storage of their own, written in place; `truncate` goes back. Several
    answers share an adapter.
    """

    def __init__(self, adapter: Adapter | TokenAdapter) -> None:
        """For one answer.

        Raises:
            ModelError: the adapter looks at later positions, or needs what isn't known while drafting.
        """
        level = adapter.config.level.value
        if isinstance(adapter, TokenAdapter) or adapter.reach is Reach.CHUNK:
            raise ModelError(f"an adapter of level {level} looks at later positions too: it needs a chunk")
        if adapter.needs_target:
            raise ModelError(f"an adapter of level {level} needs the target's states: call it with them")
        if adapter.config.token_fusion:
            raise ModelError("an adapter with token fusion needs the tokens' embeddings: call it with them")
        self._adapter = adapter
        self._cache: Cache | None = None
        if isinstance(adapter, CausalAdapter):
            self._cache = Cache(adapter.config, dtype=adapter.dtype, device=adapter.device)
        self._length = 0

    @property
    def length(self) -> int:
        """Positions taken in so far."""
        return self._length

    @property
    def room(self) -> int | None:
        """Positions left; None if there is no limit."""
        return None if self._cache is None else self._cache.capacity - self._length

    @torch.inference_mode()
    def extend(self, fused: Tensor) -> Tensor:
        """The next positions' adapted states [n, target_hidden] of their fused ones [n, drafter_hidden].

        Raises:
            ModelError: there is no room for them.
        """
        fused = fused.to(device=self._adapter.device, dtype=self._adapter.dtype)
        if isinstance(self._adapter, CausalAdapter):
            adapted = self._adapter.adapt(fused, cache=self._cache)
        else:
            adapted = self._adapter.adapt(fused)
        self._length += len(fused)
        return adapted

    def truncate(self, length: int) -> None:
        """Forget what lies behind the first `length` positions.

        Raises:
            SessionError: there aren't so many.
        """
        if not 0 <= length <= self._length:
            raise SessionError(f"an adapter with {self._length} positions can't go back to {length}")
        self._length = length
        if self._cache is not None:
            self._cache.length = length
