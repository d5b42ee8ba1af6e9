"""Events that are taken in before the question: what is drafted afterwards is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from common.errors import PromptError, SessionError
from common.types import SamplingParams
from edge.drafter import Drafter
from edge.eventgpt import EventGPT
from tests.edge.eventgpt_samples import PROMPT, event_frames, small_model

GREEDY = SamplingParams()
SAMPLED = SamplingParams(temperature=0.9, top_k=20, top_p=0.9, seed=11)
PLACE = PROMPT.index(-200)
OTHER = [*PROMPT[: PLACE + 1], *reversed(PROMPT[PLACE + 1 :]), 7]


@pytest.fixture(scope="module")
def model() -> EventGPT:
    made = small_model(eos_token_id=127, max_position_embeddings=400)
    made.vocab_size = 120
    return made


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return event_frames()


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_questions_in_turn_are_drafted_as_if_alone(
    model: EventGPT, frames: list[NDArray[np.uint8]], sampling: SamplingParams
) -> None:
    features = model.encode(frames)
    ahead = Drafter(model)
    share = ahead.prefill_ahead(PROMPT, features=features)
    assert 0.5 < share < 1.0
    for prompt in (PROMPT, OTHER, PROMPT):
        alone = Drafter(model, sampling=sampling)
        alone.prefill(prompt, frames)
        rest = ahead.prefill_question(prompt, sampling)
        assert 0 < rest < 0.5
        assert ahead.draft(8) == alone.draft(8)
        torch.testing.assert_close(ahead.hidden_states, alone.hidden_states, rtol=1e-4, atol=1e-4)
        ahead.commit(3, [5, 6])
        alone.commit(3, [5, 6])
        assert ahead.draft(4) == alone.draft(4)


def test_nothing_is_drafted_before_a_question(model: EventGPT, frames: list[NDArray[np.uint8]]) -> None:
    drafter = Drafter(model)
    with pytest.raises(SessionError):
        drafter.prefill_question(PROMPT, GREEDY)
    drafter.prefill_ahead(PROMPT, features=model.encode(frames))
    with pytest.raises(SessionError):
        drafter.draft(1)
    with pytest.raises(PromptError):
        drafter.prefill_question([3, *PROMPT], GREEDY)
    with pytest.raises(PromptError):
        drafter.prefill_question([*PROMPT, *[5] * 1400], GREEDY)
