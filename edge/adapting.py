"""The edge's half of an adapter: states made ready to travel, or ids chosen as the target would. Imports torch.

hidden, int8, codes   the drafter drafts as ever; its states travel (`StatesDrafter`)
mirror                adapter and a copy of the target's head choose in the place of the drafter's own head, token by
                      token (`MirrorHead`); an adapter that needs a chunk corrects whole drafts (`ChunkDrafter`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.adapters import Adapter, Incremental, LoadedAdapter, Reach, SplitAdapter, TokenAdapter, to_int8
from common.adapters.head import TargetHead
from common.errors import MismatchError, ModelError
from common.sampling import choose
from edge.distilling import Distiller, LearningDrafter
from edge.drafter import Drafter, Head
from edge.forms import DraftForm, StateForm, StateRow, StateRows
from edge.worker import Drafting


@dataclass(frozen=True, slots=True)
class EdgeAdapter:
    """An adapter and the form in which drafts travel. Make it with `edge_adapter`, which checks that they fit."""

    loaded: LoadedAdapter
    form: DraftForm
    target: TargetHead | None = None
    chosen: bool = False  # by the controller, for each answer: ids, or this form
    distiller: Distiller | None = None

    @property
    def state_form(self) -> StateForm | None:
        """How states travel; None if ids do."""
        adapter = self.loaded.adapter
        if self.form is DraftForm.MIRROR or not isinstance(adapter, Adapter):
            return None
        return StateForm(
            self.form,
            adapter.config.width if self.form is DraftForm.CODES else adapter.config.drafter_hidden,
            self.loaded.fingerprint,
            causal=adapter.reach is Reach.CAUSAL,
            positions=adapter.config.positions,
            redrafted=adapter.needs_target,
        )

    @property
    def layers(self) -> int:
        """Layers whose states the drafter keeps."""
        return self.loaded.adapter.config.layers

    def head(self) -> Head | None:
        """What chooses in the place of the drafter's own head, for one answer."""
        adapter = self.loaded.adapter
        if self.form is not DraftForm.MIRROR or self.target is None:
            return None
        if not isinstance(adapter, Adapter) or adapter.reach is Reach.CHUNK:
            return None
        return MirrorHead(adapter, self.target)

    def wrap(self, drafting: Drafting, drafter: Drafter) -> Drafting:
        """The drafting that a session gets: `drafting` is `drafter`, or something around it."""
        adapter = self.loaded.adapter
        if self.form is not DraftForm.MIRROR:
            assert isinstance(adapter, Adapter)
            return StatesDrafter(drafting, drafter, adapter, self.form)
        if adapter.reach is Reach.CHUNK:
            return ChunkDrafter(drafting, drafter, adapter, self.target)
        return drafting if self.distiller is None else LearningDrafter(drafting, drafter, self.distiller)

    def learning(self, folder: str | Path) -> EdgeAdapter:
        """The same, learning from commits, with what it learns in `folder`.

        Raises:
            ModelError: it can't learn so, or the folder holds something else.
        """
        if self.form is not DraftForm.MIRROR or self.target is None:
            raise ModelError("only an adapter at the edge learns from commits: use --draft-form mirror with --distill")
        return replace(self, distiller=Distiller(self.loaded, self.target, Path(folder)))


def edge_adapter(
    loaded: LoadedAdapter,
    form: DraftForm,
    *,
    drafter_hidden: int,
    drafter_layers: int,
    vocab_size: int,
    target: TargetHead | None,
) -> EdgeAdapter:
    """Adapter and form, if they fit together and to the drafter.

    Args:
        loaded: the adapter.
        form: the form that was asked for.
        drafter_hidden: width of the drafter's states.
        drafter_layers: layers that it has.
        vocab_size: ids of the drafter.
        target: the copy of the target's head; only the mirror form of adapters of states needs it.

    Raises:
        ModelError: they don't; the message says what would.
    """
    adapter = loaded.adapter
    level = adapter.config.level.value
    chosen = form is DraftForm.AUTO
    if chosen:
        form = DraftForm.CODES if isinstance(adapter, SplitAdapter) else DraftForm.INT8
    if isinstance(adapter, TokenAdapter):
        if form is not DraftForm.MIRROR:
            raise ModelError("this adapter maps tokens to tokens: it takes --draft-form mirror")
        if adapter.config.vocab_size < vocab_size:
            raise MismatchError(f"the adapter knows {adapter.config.vocab_size} ids, the drafter has {vocab_size}")
        return EdgeAdapter(loaded, form)
    if adapter.config.drafter_hidden != drafter_hidden:
        raise MismatchError(
            f"the adapter reads states of width {adapter.config.drafter_hidden}, the drafter has {drafter_hidden}: "
            "name an adapter for this drafter"
        )
    if adapter.config.layers > drafter_layers:
        raise MismatchError(f"the adapter reads {adapter.config.layers} layers, the drafter has {drafter_layers}")
    if form is DraftForm.CODES and not isinstance(adapter, SplitAdapter):
        raise ModelError(f"only an adapter of level L1S has codes to send, not {level}: use --draft-form int8")
    if adapter.needs_target and form is DraftForm.MIRROR:
        raise ModelError(
            f"an adapter of level {level} reads the target's own states, which only the cloud has: use int8"
        )
    if adapter.reach is not Reach.CHUNK and not adapter.needs_target:
        Incremental(adapter)  # says what is missing, if anything is
    if form is DraftForm.MIRROR and (target is None or target.hidden_size != adapter.config.target_hidden):
        raise MismatchError(
            f"the adapter makes states of width {adapter.config.target_hidden}, which isn't the target's: name the "
            "target's folder with --vision-model"
        )
    return EdgeAdapter(loaded, form, target, chosen)


class MirrorHead:
    """Implements `edge.drafter.Head` with an adapter that goes token by token and the target's head."""

    def __init__(self, adapter: Adapter, target: TargetHead) -> None:
        self._adapter = adapter
        self._target = target
        self._answer = Incremental(adapter)
        self._limit = self._answer.room

    @property
    def positions(self) -> int | None:
        """Answer positions that it can choose for."""
        return self._limit

    def logits(self, states: Sequence[Tensor]) -> Tensor:
        """Logits [1, vocab] of the last of `states`; those that it hasn't seen yet go in first."""
        first = min(self._answer.length, len(states) - 1)
        self._answer.truncate(first)
        fused = self._adapter.fuse(torch.stack(list(states[first:])).to(self._adapter.dtype))
        return self._target.logits(self._answer.extend(fused)[-1:])

    def go_back(self, length: int) -> None:
        """Only the first `length` states still hold."""
        self._answer.truncate(min(length, self._answer.length))


class StatesDrafter:
    """Implements `edge.worker.Drafting` and `StateSource` around a drafter that keeps its states."""

    def __init__(self, inner: Drafting, drafter: Drafter, adapter: Adapter, form: DraftForm) -> None:
        self._inner = inner
        self._drafter = drafter
        self._adapter = adapter
        self._form = form
        self._told = 0  # positions whose states were taken and still hold

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """As the drafter's."""
        self._told = 0
        return self._inner.prefill(prompt_ids, frames)

    def draft(self, count: int) -> list[int]:
        """As the drafter's."""
        return self._inner.draft(count)

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """As the drafter's. The state at `position` was made of what precedes it."""
        self._inner.commit(position, ids)
        self._told = min(self._told, position + 1)

    @torch.inference_mode()
    def take_states(self) -> StateRows:
        """The states that are new since the last call, as they travel."""
        first = self._told
        states = self._drafter.states(first)[: max(0, self._drafter.position - first)]
        self._told = first + len(states)
        if not len(states):
            return StateRows(first, ())
        return StateRows(first, _rows(self._adapter.fuse(states.to(self._adapter.dtype)), self._adapter, self._form))

    def close(self) -> None:
        """Free what the drafter holds."""
        if hasattr(self._inner, "close"):
            self._inner.close()


def _rows(fused: Tensor, adapter: Adapter, form: DraftForm) -> tuple[StateRow, ...]:
    if form is DraftForm.HIDDEN:
        half = fused.float().clamp(-65504, 65504).half().cpu().numpy()
        return tuple(StateRow(row.tobytes()) for row in half)
    if form is DraftForm.CODES:
        assert isinstance(adapter, SplitAdapter)  # `edge_adapter` has checked it
        fused = adapter.encode(fused)
    codes, scales = to_int8(fused)
    pairs = zip(codes.cpu().numpy(), scales.cpu().numpy(), strict=True)
    return tuple(StateRow(row.tobytes(), scale.tobytes()) for row, scale in pairs)


class ChunkDrafter:
    """Implements `edge.worker.Drafting`: the drafter drafts a chunk, the adapter says what the target would make of it.

    The drafter then goes on behind what the adapter said, as if it had been committed.
    """

    def __init__(
        self, inner: Drafting, drafter: Drafter, adapter: Adapter | TokenAdapter, target: TargetHead | None
    ) -> None:
        self._inner = inner
        self._drafter = drafter
        self._adapter = adapter
        self._target = target

    def prefill(self, prompt_ids: Any, frames: Any) -> Any:
        """As the drafter's."""
        return self._inner.prefill(prompt_ids, frames)

    @torch.inference_mode()
    def draft(self, count: int) -> list[int]:
        """Up to `count` tokens; fewer after an end of sequence, or where the adapter's chunks end."""
        limit = self._adapter.config.positions
        base = self._drafter.position
        own = self._inner.draft(min(count, limit) if limit else count)
        if not own:
            return own
        ids = choose(self._logits(base, own), self._drafter.sampling, range(base, base + len(own)))
        stops = [index for index, token in enumerate(ids) if token in self._drafter.eos_token_ids]
        ids = ids[: stops[0] + 1] if stops else ids
        same = 0
        while same < len(ids) and ids[same] == own[same]:
            same += 1
        if same < len(own):
            self._drafter.replace(base + same, ids[same:])
        return ids

    def _logits(self, base: int, own: list[int]) -> Tensor:
        vocab = self._drafter.vocab_size
        if isinstance(self._adapter, TokenAdapter):
            place = self._adapter.positions.device
            logits: Tensor = self._adapter(torch.tensor(own, device=place))
        else:
            assert self._target is not None  # `edge_adapter` has checked it
            states = self._drafter.states(base)[: len(own)].to(self._adapter.dtype)
            logits = self._target.logits(self._adapter(states))
        return logits[:, :vocab]

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """As the drafter's."""
        self._inner.commit(position, ids)

    def close(self) -> None:
        """Free what the drafter holds."""
        if hasattr(self._inner, "close"):
            self._inner.close()
