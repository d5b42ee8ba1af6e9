"""Hidden states of a draft, checked and as numbers. Pure: nothing of them is believed, and nothing of them can harm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from common.types import Draft, StateEncoding, Tensor

_PLAIN = ("float16", "float32")
_BYTES = (StateEncoding.INT8, StateEncoding.CODES)


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
