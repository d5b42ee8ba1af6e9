"""The cloud's half of an adapter: states that an edge sent become states for the target's head. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cloud.runner import DraftStates
from common.adapters import Adapter, FusedAdapter, FusedAnswer, Incremental, Reach, SplitAdapter, load_adapter
from common.errors import MismatchError, ModelError
from common.types import StateEncoding


class TargetAdapter:
    """One adapter for all slots; a causal one keeps keys and values for each slot that uses it.

    An adapter that reads the target's own states gets them from every pass (`verify`), and says anew what it makes of
    the drafter's states whenever the answer has grown (`redraft`).

    Attributes:
        fingerprint: by which edges know it.
        level: its level's name.
        widths: what may be sent, and how wide its rows are.
    """

    def __init__(self, adapter: Adapter, fingerprint: str) -> None:
        """Wrap an adapter.

        Raises:
            ModelError: it needs what the cloud doesn't know of a draft.
        """
        config = adapter.config
        self.fingerprint = fingerprint
        self.level = config.level.value
        self.drafter_hidden = config.drafter_hidden
        self.widths: Mapping[StateEncoding, int] = {
            StateEncoding.STATES: config.drafter_hidden,
            StateEncoding.INT8: config.drafter_hidden,
        }
        if isinstance(adapter, SplitAdapter):
            self.widths = {**self.widths, StateEncoding.CODES: config.width}
        self._adapter = adapter
        self._causal = adapter.reach is Reach.CAUSAL
        self._answers: dict[int, Incremental] = {}
        self._fused = adapter if isinstance(adapter, FusedAdapter) else None
        self._fused_answers: dict[int, FusedAnswer] = {}
        if self._causal and self._fused is None:
            Incremental(adapter)  # says what is missing, if anything is

    @classmethod
    def from_folder(cls, folder: str | Path, *, dtype: torch.dtype | str, device: torch.device | str) -> TargetAdapter:
        """Read an adapter's folder.

        Raises:
            ModelError: it can't be read, or is no adapter of states.
        """
        loaded = load_adapter(folder, dtype=dtype, device=device)
        if not isinstance(loaded.adapter, Adapter):
            raise ModelError(
                f"{folder} maps tokens to tokens: give it to the edge (--draft-form mirror), not the cloud"
            )
        return cls(loaded.adapter, loaded.fingerprint)

    def check_target(self, hidden: int) -> None:
        """Raise MismatchError if it was made for a target of another width."""
        made_for = self._adapter.config.target_hidden
        if made_for != hidden:
            raise MismatchError(
                f"the adapter makes states of width {made_for}, the target has {hidden}: name one made for this target"
            )

    def adapt(self, states: DraftStates, rows: Tensor) -> Tensor:
        """States [n, target_hidden] of the drafted positions; none if the answer's earlier ones are missing.

        Of an adapter that `redrafts`, of those that aren't committed yet.
        """
        if self._fused is not None:
            answer = self._fused_answer(states.slot)
            first, stop = states.position - states.context, states.position - states.context + len(rows)
            if not answer.tell(first, rows):
                return rows[:0]
            adapted = self._finite(states.slot, answer.draft(states.committed, stop))
            return adapted[max(0, states.position - states.committed) :]
        if self._causal:
            return self._extend(states, rows)
        drafted = rows[states.context :]
        if states.encoding is StateEncoding.CODES:
            assert isinstance(self._adapter, SplitAdapter)  # or there would be no such width
            return self._adapter.decode(drafted)
        return self._adapter.adapt(drafted)

    def _extend(self, states: DraftStates, rows: Tensor) -> Tensor:
        answer = self._answers.get(states.slot)
        if answer is None:
            answer = self._answers[states.slot] = Incremental(self._adapter)
        first = states.position - states.context
        if first > answer.length:
            return rows[:0]
        answer.truncate(first)
        if answer.room is not None:
            rows = rows[: answer.room]
        if not len(rows):
            return rows[:0]
        adapted = answer.extend(rows)
        if not bool(adapted.isfinite().all()):
            self.forget(states.slot)  # what it stored may not be finite either
        return adapted[states.context :]

    @property
    def redrafts(self) -> bool:
        """True if it reads the target's own states."""
        return self._fused is not None

    def verify(self, slot: int, first: int, states: Tensor) -> None:
        """The target has chosen at answer positions `first ...` from `states` [n, target_hidden]."""
        if self._fused is not None:
            self._fused_answer(slot).verify(first, states)

    def redraft(self, slot: int, committed: int, count: int) -> Tensor | None:
        """States [n, target_hidden] of positions `committed ...`, at most `count`; None if it doesn't redraft."""
        answer = self._fused_answers.get(slot)
        return None if answer is None else self._finite(slot, answer.draft(committed, committed + count))

    def waiting(self, slot: int, first: int) -> int:
        """Positions from `first` on that can be drafted once a pass has told the target's states before them."""
        answer = self._fused_answers.get(slot)
        return 0 if answer is None else max(0, min(answer.told, self._adapter.config.positions) - first)

    def _fused_answer(self, slot: int) -> FusedAnswer:
        if slot not in self._fused_answers:
            assert self._fused is not None
            self._fused_answers[slot] = FusedAnswer(self._fused)
        return self._fused_answers[slot]

    def _finite(self, slot: int, adapted: Tensor) -> Tensor:
        if bool(adapted.isfinite().all()):
            return adapted
        self._fused_answers[slot].tell(0, adapted[:0, :0].new_zeros(0, self.drafter_hidden))
        return adapted[:0]

    def forget(self, slot: int) -> None:
        """The slot's answer is over."""
        self._answers.pop(slot, None)
        self._fused_answers.pop(slot, None)
