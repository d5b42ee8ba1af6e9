"""Hidden states of a draft: checked, as numbers, as ids. Nothing of them is believed, and nothing of them can harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cloud.engine_limits import EngineLimits
from cloud.runner import DraftStates, Runner
from cloud.scheduler import Scheduled
from cloud.session import Session
from common.types import Draft, StateEncoding, Tensor

_PLAIN = ("float16", "float32")
_BYTES = (StateEncoding.INT8, StateEncoding.CODES)


class DraftReader:
    """Drafts as ids, whatever they carry: states go through the target's adapter, head and seeded choice."""

    def __init__(self, runner: Runner, limits: EngineLimits) -> None:
        self._runner = runner
        self._limits = limits

    def read(self, session: Session, draft: Draft) -> Draft | None:
        """The draft as ids. None: it can't be read."""
        if draft.hidden_states is None:
            session.redrafts = False
            return draft
        if not session.expects(draft):
            return None
        limits = self._limits
        rows = read_rows(
            draft, self._runner.state_widths, most=4 * limits.max_draft, most_context=limits.max_answer_tokens
        )
        if rows is None:
            return None
        sampling, position = session.open.sampling, draft.base_position
        known = len(session.committed)
        states = DraftStates(session.slot, rows, draft.encoding, draft.context, position, sampling, known)
        ids = self._runner.draft_ids(states)
        if self._runner.redrafts and draft.encoding is not StateEncoding.TARGET:
            session.redrafts = True
            ids = [*session.committed[position:], *ids]  # it has nothing to say about what is settled
        return replace(draft, token_ids=tuple(ids), hidden_states=None, scales=None) if ids else None

    def renewed(self, one: Scheduled) -> Scheduled:
        """The same, with drafts of states made again if the target's states that they read have changed."""
        session, feed = one.session, one.feed
        if not (feed.draft and session.redrafts):
            return one
        ids = self._runner.redraft(session.slot, len(session.committed), len(feed.draft), session.open.sampling)
        return Scheduled(session, session.redraft(feed, ids))


def read_rows(
    draft: Draft, widths: Mapping[StateEncoding, int], *, most: int, most_context: int
) -> NDArray[np.float32] | None:
    """The rows [context + n, width] of a draft, cut at the first that isn't finite.

    Args:
        draft: with hidden states.
        widths: what the target can take, and how wide its rows are.
        most: rows that a draft may have.
        most_context: rows of context that it may have.

    Returns:
        None if the draft isn't one that this target can take, or nothing is left of it.
    """
    states, context = draft.hidden_states, draft.context
    if states is None or len(states.shape) != 2 or states.shape[1] != widths.get(draft.encoding):
        return None
    if not 0 <= context <= min(most_context, draft.base_position) or not 1 <= states.shape[0] - context <= most:
        return None
    rows = _scaled(states, draft.scales) if draft.encoding in _BYTES else _plain(states, draft.scales)
    if rows is None:
        return None
    finite = np.isfinite(rows).all(axis=1)
    count = len(rows) if finite.all() else int(finite.argmin())
    return rows[:count] if count > context else None


def _plain(states: Tensor, scales: Tensor | None) -> NDArray[np.float32] | None:
    return _numbers(states) if states.dtype in _PLAIN and scales is None else None


def _scaled(states: Tensor, scales: Tensor | None) -> NDArray[np.float32] | None:
    if states.dtype != "int8" or scales is None or scales.dtype not in _PLAIN or scales.shape != states.shape[:1]:
        return None
    return _numbers(states) * _numbers(scales)[:, None]


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    return np.frombuffer(tensor.data, dtype=tensor.dtype).reshape(tensor.shape).astype(np.float32)
