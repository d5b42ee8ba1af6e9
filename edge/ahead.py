"""A drafter that sees the events before it hears the question. Runs in the drafter's thread; imports torch.

EventGPT's prompt begins with fixed text and the events, so that part's keys and values are the same for every question
about a clip: they are stored once, and a question goes back to their end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.types import SamplingParams
from edge.actions import BranchJob
from edge.branches import Branched
from edge.drafter import Drafter
from edge.eventgpt.prompt import prompt_ids
from edge.stages import StagedDrafter, Stages
from edge.worker import Drafting

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from edge.drafter_model import DrafterModel


class AheadDrafter:
    """One clip's events, ready for questions. One question at a time may use the stored prefix; others get their own.

    `prepare` and `take` run in the drafter's thread.
    """

    def __init__(self, drafter: DrafterModel, frames: Sequence[NDArray[Any]], max_tokens: int) -> None:
        self._model = drafter.model
        self._all = drafter
        self._frames = list(frames)
        self._max_tokens = max_tokens
        self._features: Tensor | None = None
        self._drafter: Drafter | None = None

    def prepare(self, stages: Stages) -> None:
        """Encode the events, and store what precedes the question."""
        times = stages.replay.drafter if stages.replay is not None else None
        with stages.span("drafter_preprocess", times.preprocess_ms if times else 0.0):
            pixels = self._model.preprocess(self._frames)
        with stages.span("drafter_vision", times.vision_ms if times else 0.0):
            self._features = self._model.encode(pixels)
        with stages.span("drafter_prefill") as plan:
            drafter = self._new(SamplingParams())
            share = drafter.prefill_ahead(self._prompt("?"), features=self._features)
            plan.ms = times.prefill_ms * share if times else 0.0
        self._drafter = drafter

    def take(
        self, question: str, sampling: SamplingParams, stages: Stages, speaking: DrafterModel | None = None
    ) -> Drafting:
        """A drafter that has this question's prompt; closing it gives the stored events back.

        `speaking` is the same drafter, in the vocabulary of this answer.
        """
        times = stages.replay.drafter if stages.replay is not None else None
        prepared, self._drafter = self._drafter, None
        with stages.span("drafter_prefill") as plan:
            if prepared is not None:
                share = prepared.prefill_question(self._prompt(question), sampling)
                drafter: Drafter = prepared
            else:
                share, drafter = 1.0, self._new(sampling)
                drafter.prefill(self._prompt(question), features=self._features)
            plan.ms = times.prefill_ms * share if times else 0.0
        return (speaking or self._all).adapted(StagedDrafter(_Returned(self, drafter), stages), drafter)

    def give_back(self, drafter: Drafter) -> None:
        """A question is over."""
        if self._drafter is None and drafter.prepared and self._features is not None:
            self._drafter = drafter
        else:
            drafter.close()

    def close(self) -> None:
        """Free the memory."""
        if self._drafter is not None:
            self._drafter.close()
        self._drafter = self._features = None

    def _prompt(self, question: str) -> list[int]:
        return prompt_ids(question, self._all.tokenizer, self._model.config.prompt_template)

    def _new(self, sampling: SamplingParams) -> Drafter:
        return self._all.new(sampling, self._max_tokens)


class _Returned:
    """Implements `Drafting` with a drafter that goes back to its clip when it is closed."""

    def __init__(self, home: AheadDrafter, drafter: Drafter) -> None:
        self._home = home
        self._drafter = drafter

    def prefill(self, prompt_ids: Any, frames: Any) -> None:
        """As the drafter's."""
        self._drafter.prefill(prompt_ids, frames)

    def draft(self, count: int) -> list[int]:
        """As the drafter's."""
        return self._drafter.draft(count)

    def branch(self, job: BranchJob) -> Branched:
        """As the drafter's."""
        return self._drafter.branch(job)

    def commit(self, position: int, ids: Sequence[int]) -> None:
        """As the drafter's."""
        self._drafter.commit(position, ids)

    def close(self) -> None:
        """Back to the clip."""
        self._home.give_back(self._drafter)
