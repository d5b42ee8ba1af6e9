"""One answer's drafts from an adapter that reads the target's own states (L5F), made anew as the target goes on."""

from __future__ import annotations

import torch
from torch import Tensor

from common.adapters.attention import Cache, FusedAdapter

_FIRST_ROWS = 32


class Rows:
    """States by position, written in place; the storage doubles when it is full."""

    def __init__(self, width: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.length = 0
        self._rows = torch.zeros(_FIRST_ROWS, width, dtype=dtype, device=device)

    def write(self, first: int, rows: Tensor) -> None:
        """Positions `first ...` are `rows` [n, width], and nothing is known behind them. `first` <= `length`."""
        end = first + len(rows)
        if end > len(self._rows):
            larger = self._rows.new_zeros(max(end, 2 * len(self._rows)), self._rows.shape[1])
            larger[: self.length] = self._rows[: self.length]
            self._rows = larger
        self._rows[first:end] = rows
        self.length = end

    def __getitem__(self, span: slice) -> Tensor:
        return self._rows[span]


class FusedAnswer:
    """Drafts of one answer.

    The drafter's states come by `tell`, the target's by `verify`. A draft for a *base* (the committed length) reads the
    target's own states up to it, and what it said itself of the positions behind. When the base moves, what was drafted
    behind the old one is made again, now that the target's states there are known.

    Keys and values up to the base are kept: what they were made of won't change, unless `tell` goes back.
    """

    def __init__(self, adapter: FusedAdapter) -> None:
        sizes = adapter.config
        self._adapter = adapter
        self._cache: Cache | None = None  # not before there is something to draft from
        self._drafter = Rows(sizes.drafter_hidden, dtype=adapter.dtype, device=adapter.device)
        self._target = Rows(sizes.target_hidden, dtype=adapter.dtype, device=adapter.device)
        self._exact = 0  # positions in the cache, made of the target's own states
        self._base = 0
        self._drafted: list[Tensor] = []  # [1, target_hidden] for positions base ...

    @property
    def told(self) -> int:
        """Positions whose drafter's states are known."""
        return self._drafter.length

    def tell(self, first: int, rows: Tensor) -> bool:
        """The drafter's fused states at positions `first ...` are `rows` [n, drafter_hidden]; none behind hold.

        Returns:
            False if those before `first` are missing: nothing was taken.
        """
        if first > self._drafter.length:
            return False
        self._drafter.write(first, rows.to(self._adapter.dtype))
        self._exact = min(self._exact, first)
        del self._drafted[max(0, first - self._base) :]
        return True

    def verify(self, first: int, states: Tensor) -> None:
        """The target chose at positions `first ...` from `states` [n, target_hidden]; not all need have come to stay.

        Those of committed tokens do; others are written over by the pass that decides.
        """
        if 0 <= first <= self._target.length:
            self._target.write(first, states.to(self._adapter.dtype))

    @torch.inference_mode()
    def draft(self, base: int, stop: int) -> Tensor:
        """Adapted states [n, target_hidden] of positions `base ... stop`, as far as the drafter's are known.

        Args:
            base: the committed length; the target's states before it are its own.
            stop: where the draft ends.
        """
        stop = min(stop, self.told, len(self._adapter.positions))
        if stop <= base or self._target.length < base:
            return self._target[0:0]
        if base != self._base:
            self._base, self._drafted = base, []
        if not self._drafted:
            self._settle(base)
        assert self._cache is not None
        self._cache.length = base + len(self._drafted)
        for position in range(base + len(self._drafted), stop):
            self._drafted.append(self._extend(position, position + 1, self._drafted[-1]))
        return torch.cat(self._drafted[: stop - base])

    def _settle(self, base: int) -> None:
        """Take in everything up to the base, which the target's own states are known for."""
        if self._cache is None:
            self._cache = Cache(self._adapter.config, dtype=self._adapter.dtype, device=self._adapter.device)
        first = min(self._exact, base)
        self._cache.length = first
        before = self._target[max(0, first - 1) : base]
        nothing = torch.zeros(1, self._adapter.config.target_hidden, dtype=before.dtype, device=before.device)
        previous = before if first else torch.cat((nothing, before))
        self._drafted = [self._extend(first, base + 1, previous)[-1:]]
        self._exact = base + 1

    def _extend(self, first: int, stop: int, previous: Tensor) -> Tensor:
        return self._adapter.adapt(self._drafter[slice(first, stop)], previous=previous, cache=self._cache)
