"""What acceptance is worth in time: estimates from stage times, each verification charged as the one pass that it is.

The research's estimate charged a draft of g tokens as g + 1 serial steps of the target, which no verification takes.
Estimates know no network and no queue; `eventspec-bench compare` measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.alignment.metrics import Flags, hidden_tokens, lead, mean_length


@dataclass(frozen=True, slots=True)
class Times:
    """Times of both models, in one unit.

    Attributes:
        target_prefill, drafter_prefill: from the question to the first token, vision included.
        target_token, drafter_token: of decoding one token.
        verify: of one pass of the target over a draft.
    """

    target_prefill: float
    drafter_prefill: float
    target_token: float
    drafter_token: float
    verify: float

    @property
    def hidden(self) -> int:
        """Tokens drafted for nothing while the target prefills."""
        return hidden_tokens(self.target_prefill, self.drafter_prefill, self.drafter_token)


@dataclass(frozen=True, slots=True)
class Estimates:
    """Times without over times with speculation: of the part up to the last hidden token, of the rest, of all."""

    prefill: float
    decode: float
    end_to_end: float


def estimate(flags: Flags, mask: Flags, times: Times, draft: int) -> Estimates:
    """Speed-ups with drafts of `draft` tokens, the first of which hides behind the target's prefill."""
    lengths = mask.sum(1)
    hidden = min(times.hidden, flags.shape[1])
    first = lead(flags[:, :hidden], mask[:, :hidden]) if hidden else np.zeros(len(flags), np.int64)
    settled = np.minimum(first + 1, lengths).mean() if hidden else 0.0
    alone = times.target_prefill + settled * times.target_token
    hides = times.target_prefill + (times.verify if hidden else 0.0)
    each = mean_length(flags, mask, draft)
    a_pass = draft * times.drafter_token + times.verify
    left = float(lengths.mean() - settled)
    whole = times.target_prefill + float(lengths.mean()) * times.target_token
    return Estimates(alone / hides, each * times.target_token / a_pass, whole / (hides + left / each * a_pass))


def prefill_share(prefill: float, token: float, tokens: int) -> float:
    """T_prefill / T_total of an answer of `tokens` tokens, the first of which comes with the prefill."""
    return prefill / (prefill + (tokens - 1) * token)
