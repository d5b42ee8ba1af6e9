"""Candidates from this project's drafter for transformers' assisted generation, and the seeded choice as a processor.

EventGPT sees events, so it can't be an `assistant_model`, which transformers would feed the target's own inputs. What
transformers takes instead is a `CandidateGenerator`; verification, KV cropping and stopping are transformers' own.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.generation.candidate_generator import CandidateGenerator

from common.sampling import choose
from common.types import Commit, SamplingParams
from edge.controller import DraftLength
from edge.drafter import Drafter


class DrafterCandidates(CandidateGenerator):
    """Drafts continue the answer so far; their length follows transformers' own heuristic (`DraftLength`)."""

    requires_model_outputs = False

    def __init__(self, drafter: Drafter, *, prompt_length: int, max_length: int) -> None:
        self._drafter = drafter
        self._prompt_length = prompt_length
        self._max_length = max_length
        self._length = DraftLength()
        self._last = 0
        self.drafted: list[int] = []
        self.accepted: list[int] = []

    def get_candidates(  # type: ignore[override]
        self, input_ids: torch.LongTensor, **kwargs: Any
    ) -> tuple[torch.LongTensor, None]:
        """The ids so far [1, n], and up to the current draft length more; no logits: ids are compared."""
        answer = input_ids[0, self._prompt_length :].tolist()
        if answer:
            self._drafter.commit(0, answer)
        room = self._max_length - input_ids.shape[1] - 1  # the target's own choice needs a place too
        draft = self._drafter.draft(min(self._length.length, room)) if room > 0 else []
        self._last = len(draft)
        more = torch.tensor([draft], dtype=input_ids.dtype, device=input_ids.device)
        return torch.cat((input_ids, more), dim=-1), None  # type: ignore[return-value]

    def update_candidate_strategy(self, input_ids: torch.LongTensor, scores: torch.Tensor, num_matches: int) -> None:
        """Learn from one verification: `num_matches` candidates were accepted."""
        accepted = int(num_matches)
        self.drafted.append(self._last)
        self.accepted.append(accepted)
        self._length.learn(Commit(0, (), drafted=self._last, accepted=accepted))


class SeededChoice(LogitsProcessor):
    """Leaves only the id that the project's seeded choice takes (`common/sampling.py`), for temperatures above 0."""

    def __init__(self, sampling: SamplingParams, *, prompt_length: int, vocab_size: int) -> None:
        self._sampling = sampling
        self._prompt_length = prompt_length
        self._vocab_size = vocab_size

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [1, V] after the ids so far [1, n]."""
        masked = scores.clone()
        masked[:, self._vocab_size :] = -torch.inf
        (chosen,) = choose(masked, self._sampling, [input_ids.shape[1] - self._prompt_length])
        only = torch.full_like(scores, -torch.inf)
        only[:, chosen] = 0.0
        return only  # type: ignore[return-value]
