"""Metrics over padded arrays [N, n] of N samples: nothing here loops over samples.

Cosine figures are **proxies**: two states can be close and choose different tokens. What counts is `acceptance` of
tokens, with the drafter conditioned on what is committed, and what follows from it (`mean_length`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

TAUS = (0.80, 0.85, 0.90, 0.95)
TOPS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class PerPosition:
    """Mean and standard deviation at each position, and the number of samples that reach it, each [n]."""

    mean: Floats
    std: Floats
    count: npt.NDArray[np.int64]


def per_position(values: npt.NDArray[np.floating], mask: Flags) -> PerPosition:
    """Statistics of `values` [N, n] at each position, over the samples that have it."""
    count = mask.sum(0, dtype=np.int32).astype(np.int64)
    safe = np.maximum(count, 1)
    kept = values * mask
    mean = kept.sum(0, dtype=np.float64) / safe
    kept -= mean.astype(values.dtype)
    kept *= mask
    kept *= kept
    return PerPosition(mean, np.sqrt(kept.sum(0, dtype=np.float64) / safe), count)


def share(flags: Flags, mask: Flags) -> float:
    """Share of positions of `mask` at which `flags` hold."""
    return _count(flags & mask) / max(1, _count(mask))


def lead(flags: Flags, mask: Flags) -> npt.NDArray[np.int64]:
    """How many positions hold from the first on without a miss, for each sample, [N]: `sum(cumprod(flags))`."""
    held = flags & mask
    first = held.argmin(axis=1)  # of a row that holds throughout, argmin is 0
    whole = held.take(0, axis=1) & (first == 0)
    lengths: npt.NDArray[np.int64] = np.where(whole, held.shape[1], first).astype(np.int64)
    return lengths


def consecutive(flags: Flags, mask: Flags) -> float:
    """Mean of `lead`."""
    return float(lead(flags, mask).mean()) if len(flags) else 0.0


def given(flags: Flags, condition: Flags, mask: Flags) -> float:
    """P(flags | condition) over positions of `mask`; nan where the condition never holds."""
    base = condition & mask
    count = _count(base)
    return _count(flags & base) / count if count else float("nan")


def hidden_tokens(target_prefill: float, drafter_prefill: float, drafter_token: float) -> int:
    """Tokens that the drafter has ready, for nothing, when the target's prefill ends; times in one unit."""
    return max(0, int((target_prefill - drafter_prefill) // drafter_token))


def phases(flags: Flags, mask: Flags, hidden: int) -> tuple[float, float]:
    """Acceptance of the first `hidden` positions (drafted during the target's prefill) and of those behind."""
    return share(flags[:, :hidden], mask[:, :hidden]), share(flags[:, hidden:], mask[:, hidden:])


def verifications(flags: Flags, mask: Flags, draft: int) -> tuple[int, int]:
    """Verifications that drafts of `draft` tokens need for all samples, and drafted tokens that they accept.

    A verification accepts the run of equal tokens and adds the target's own choice behind it (correction or bonus), as
    the runtime with rollback does. Flags determine this exactly where a draft depends on what was committed and on the
    drafts before it alone: up to the first miss these are the same.
    """
    right = np.ascontiguousarray((flags & mask).T)
    there = np.ascontiguousarray(mask.T)
    run = np.zeros(len(flags), np.int16)
    accepted = 0
    for equal, here in zip(right, there, strict=True):  # over positions; each step is all samples at once
        goes_on = equal & (run < draft)
        accepted += _count(goes_on)
        run += goes_on
        run *= goes_on | ~here  # behind an answer's end its last run stays
    return _count(mask) - accepted + _count(run > 0), accepted


def mean_length(flags: Flags, mask: Flags, draft: int) -> float:
    """Committed tokens a verification, the target's own included, with drafts of `draft` tokens."""
    return float(mask.sum() / max(1, verifications(flags, mask, draft)[0]))


def tops(ranks: npt.NDArray[np.integer], mask: Flags) -> dict[int, tuple[float, float]]:
    """For the best 1, 5 and 10 tokens: the share of positions whose token is among them, and consecutively from 0.

    Args:
        ranks: [N, n], how many tokens the drafter prefers to the target's.
        mask: positions.
    """
    return {top: (share(ranks < top, mask), consecutive(ranks < top, mask)) for top in TOPS}


def cosine_figures(
    cosine: npt.NDArray[np.floating], match: Flags, mask: Flags, taus: Sequence[float] = TAUS
) -> dict[str, dict[str, float]]:
    """Proxies by threshold: accept@tau, consecutive@tau, and P(token match | cos > tau)."""
    above = {tau: cosine > tau for tau in taus}
    return {
        f"{tau:.2f}": {
            "accept": share(above[tau], mask),
            "consecutive": consecutive(above[tau], mask),
            "match_given": given(match, above[tau], mask),
        }
        for tau in taus
    }


def _count(flags: Flags) -> int:
    return int(np.count_nonzero(flags))
