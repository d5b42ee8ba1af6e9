"""The drafter: what it drafts is the model's choice, and going back is the same as starting again."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import MismatchError, PromptError, SessionError
from common.sampling import choose
from common.types import SamplingParams
from edge.actions import BranchJob
from edge.drafter import Drafter
from edge.eventgpt import EventGPT
from tests.edge.eventgpt_samples import PROMPT, event_frames, small_model

GREEDY = SamplingParams()
SAMPLED = SamplingParams(temperature=0.9, top_k=20, top_p=0.9, seed=11)
NO_EOS = {"eos_token_id": 127, "max_position_embeddings": 160}

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> EventGPT:
    made = small_model(**NO_EOS)
    made.vocab_size = 120
    return made


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return event_frames()


@pytest.fixture
def drafter(model: EventGPT, frames: list[NDArray[np.uint8]]) -> Drafter:
    made = Drafter(model)
    made.prefill(PROMPT, frames)
    return made


def recomputed(
    model: EventGPT, features: torch.Tensor, answer: Sequence[int], count: int, sampling: SamplingParams
) -> tuple[list[int], torch.Tensor]:
    """The next `count` ids after `answer`, one whole forward without a cache each, and their hidden states."""
    known, hidden = list(answer), []
    for _ in range(count):
        embeddings = model.splice([*PROMPT, *known], features)
        states = model.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state[0]
        hidden.append(states[-1])
        logits = model.lm_head(states[-1:])[:, : model.vocab_size]
        known += choose(logits, sampling, [len(known)])
    return known[len(answer) :], torch.stack(hidden)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_drafts_are_the_models_choices(
    model: EventGPT, frames: list[NDArray[np.uint8]], sampling: SamplingParams
) -> None:
    drafter = Drafter(model, sampling=sampling)
    drafter.prefill(PROMPT, frames)
    ids = drafter.draft(3)
    states = drafter.hidden_states
    ids += drafter.draft(5)
    expected, hidden = recomputed(model, model.encode(frames), [], 8, sampling)
    assert ids == expected
    assert len(set(ids)) > 3  # a model with something to say
    torch.testing.assert_close(torch.cat([states, drafter.hidden_states]), hidden, rtol=1e-4, atol=1e-4)
    assert drafter.position == 8


def test_every_form_of_prompt_and_frames_gives_the_same_drafts(model: EventGPT, drafter: Drafter) -> None:
    expected = drafter.draft(6)
    pixels = model.preprocess(event_frames())
    for ids, given_frames in ((torch.tensor(PROMPT), pixels), (torch.tensor([PROMPT]), list(pixels))):
        drafter.prefill(ids, given_frames)
        assert drafter.draft(6) == expected
    drafter.prefill(PROMPT, features=model.encode(event_frames()))
    assert drafter.draft(6) == expected


def test_commits_that_agree_cost_nothing_and_keep_the_drafts(drafter: Drafter) -> None:
    ids = drafter.draft(6)
    stored, hidden = drafter._stored, drafter._last_hidden
    drafter.commit(0, ids[:2])
    drafter.commit(2, ids[2:5])
    drafter.commit(0, [])
    assert (drafter._stored, drafter.position) == (stored, 6)
    assert drafter._last_hidden is hidden
    assert drafter.answer == tuple(ids)


def test_a_commit_that_disagrees_goes_back_by_moving_a_number(model: EventGPT, drafter: Drafter) -> None:
    ids = drafter.draft(6)
    storage = drafter._storage
    other = (ids[3] + 1) % 120
    drafter.commit(2, [ids[2], other, 7])
    assert drafter.answer == (*ids[:3], other, 7)
    assert drafter._storage is storage
    assert drafter._stored == drafter._prompt_length + 3  # nothing was computed yet
    expected, _ = recomputed(model, model.encode(event_frames()), drafter.answer, 4, GREEDY)
    assert drafter.draft(4) == expected


Step = tuple[str, int, list[int]]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("draft"), st.integers(0, 4), st.just([])),
        # a commit so many positions back from the end: some ids kept, then others
        st.tuples(st.just("commit"), st.integers(0, 6), st.lists(st.integers(3, 119), max_size=4)),
        st.tuples(st.just("accept"), st.integers(0, 6), st.just([])),
    ),
    max_size=12,
)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@settings(max_examples=30, deadline=None)
@given(steps=steps)
def test_any_history_equals_a_fresh_drafter_that_knows_its_answer(sampling: SamplingParams, steps: list[Step]) -> None:
    model, features = shared_model(), shared_features()
    drafter = Drafter(model, sampling=sampling)
    drafter.prefill(PROMPT, features=features)
    for kind, number, ids in steps:
        at = max(0, drafter.position - number)
        if kind == "draft":
            before = drafter.answer
            drafted = drafter.draft(number)
            assert drafter.answer == (*before, *drafted)
        elif kind == "accept":
            drafter.commit(at, drafter.answer[at:])
        else:
            drafter.commit(at, ids)
            assert drafter.answer[at : at + len(ids)] == tuple(ids)
    fresh = Drafter(model, sampling=sampling)
    fresh.prefill(PROMPT, features=features)
    fresh.commit(0, drafter.answer)
    assert fresh.draft(3) == drafter.draft(3)
    torch.testing.assert_close(fresh.hidden_states, drafter.hidden_states, rtol=1e-4, atol=1e-4)


_cache: list[tuple[EventGPT, torch.Tensor]] = []


def shared_model() -> EventGPT:
    """One model for all of hypothesis' examples."""
    if not _cache:
        model = small_model(**NO_EOS)
        model.vocab_size = 120
        _cache.append((model, model.encode(event_frames())))
    return _cache[0][0]


def shared_features() -> torch.Tensor:
    shared_model()
    return _cache[0][1]


def test_drafters_share_a_model_without_seeing_each_other(model: EventGPT) -> None:
    frames = [event_frames(seed) for seed in range(3)]
    alone = []
    for seen in frames:
        drafter = Drafter(model)
        drafter.prefill(PROMPT, seen)
        alone.append(drafter.draft(8))
    together = [Drafter(model) for _ in frames]
    for drafter, seen in zip(together, frames, strict=True):
        drafter.prefill(PROMPT, seen)
    parts = [[drafter.draft(2) for drafter in together] for _ in range(4)]
    assert [[token for part in parts for token in part[i]] for i in range(3)] == alone
    assert alone[0] != alone[1]


def test_nothing_follows_an_end_of_sequence_until_the_cloud_says_otherwise(
    model: EventGPT, frames: list[NDArray[np.uint8]]
) -> None:
    free = Drafter(model)
    free.prefill(PROMPT, frames)
    ids = free.draft(8)
    end = next(i for i in range(2, 8) if ids[i] not in ids[:i])
    ending = small_model(**{**NO_EOS, "eos_token_id": ids[end]})
    ending.vocab_size = 120
    drafter = Drafter(ending)
    drafter.prefill(PROMPT, frames)
    assert drafter.draft(8) == ids[: end + 1]
    assert drafter.finished
    assert drafter.draft(8) == []
    assert drafter.hidden_states.shape == (0, 64)
    drafter.commit(end, [ids[end] + 1])
    assert not drafter.finished
    assert drafter.draft(2)


def test_ids_outside_the_vocabulary_are_never_drafted(model: EventGPT, frames: list[NDArray[np.uint8]]) -> None:
    biased = small_model(**NO_EOS)
    biased.lm_head.weight[100:] *= 30
    for sampling in (GREEDY, SamplingParams(temperature=5.0, seed=1)):
        drafter = Drafter(biased, sampling=sampling, vocab_size=100)
        drafter.prefill(PROMPT, frames)
        assert max(drafter.draft(20)) < 100


def test_it_stops_where_the_room_ends(model: EventGPT, frames: list[NDArray[np.uint8]]) -> None:
    drafter = Drafter(model, max_tokens=5)
    drafter.prefill(PROMPT, frames)
    assert len(drafter.draft(50)) == 6  # the last one is chosen, but needs no room
    assert drafter.finished
    assert drafter.draft(1) == []
    drafter.commit(6, [5, 6, 7])
    assert drafter.draft(1) == []
    drafter.prefill(PROMPT, frames)
    assert len(drafter.draft(3)) == 3


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda drafter: drafter.commit(5, [1]), SessionError),  # ids between are missing
        (lambda drafter: drafter.commit(-1, [1]), SessionError),
        (lambda drafter: drafter.commit(0, [128]), MismatchError),
        (lambda drafter: drafter.commit(0, [-200]), MismatchError),
        (lambda drafter: drafter.prefill([1, 2], event_frames()), PromptError),
        (lambda drafter: drafter.prefill([PROMPT, PROMPT], event_frames()), PromptError),
        (lambda drafter: drafter.prefill([*PROMPT, *[5] * 2100], event_frames()), PromptError),
        (lambda drafter: drafter.prefill([*PROMPT, *[5] * 150], event_frames()), PromptError),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    drafter: Drafter, use: Callable[[Drafter], None], error: type[Exception]
) -> None:
    ids = drafter.draft(3)
    with pytest.raises(error):
        use(drafter)
    assert drafter.answer == tuple(ids)
    assert len(drafter.draft(2)) == 2


def test_it_says_when_it_has_no_prompt_or_was_closed(model: EventGPT, drafter: Drafter) -> None:
    fresh = Drafter(model)
    for use in (lambda: fresh.draft(1), lambda: fresh.commit(0, [1])):
        with pytest.raises(SessionError):
            use()
    drafter.close()
    for use in (lambda: drafter.draft(1), lambda: drafter.prefill(PROMPT, event_frames())):
        with pytest.raises(SessionError):
            use()


def grow(drafter: Drafter, position: int, token: int, count: int) -> list[int]:
    """Go off another way, token by token, as a session has it done."""
    found: list[int] = []
    for _ in range(count):
        end = position + 1 + len(found)
        tokens = () if found else (token,)
        job = BranchJob(end - len(tokens), tokens, 1, (*drafter.answer[:position], token, *found), end, end + 1, 3)
        found += drafter.branch(job).ids
    return found


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@settings(max_examples=25, deadline=None)
@given(
    branches=st.lists(st.tuples(st.integers(0, 5), st.integers(3, 119), st.integers(1, 4)), max_size=4),
    accepted=st.integers(0, 6),
    told=st.lists(st.integers(3, 119), max_size=2),
)
def test_branches_leave_no_trace_on_the_line(
    sampling: SamplingParams, branches: list[tuple[int, int, int]], accepted: int, told: list[int]
) -> None:
    model, features = shared_model(), shared_features()
    drafter, other = Drafter(model, sampling=sampling), Drafter(model, sampling=sampling)
    for made in (drafter, other):
        made.prefill(PROMPT, features=features)
        made.draft(6)
    line = drafter.answer
    for position, token, count in branches:
        drafter.commit(0, line)
        ids = grow(drafter, position, token, count)
        assert ids == recomputed(model, features, [*line[:position], token], count, sampling)[0]
    for made in (drafter, other):
        made.commit(0, line)
        made.commit(accepted, told)
    assert drafter.draft(4) == other.draft(4)
    torch.testing.assert_close(drafter.hidden_states, other.hidden_states, rtol=1e-4, atol=1e-4)
    assert drafter.answer == other.answer


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_it_says_what_else_it_could_have_said(
    model: EventGPT, frames: list[NDArray[np.uint8]], sampling: SamplingParams
) -> None:
    drafter = Drafter(model, sampling=sampling)
    drafter.prefill(PROMPT, frames)
    ids = drafter.draft(5)
    made = drafter.branch(BranchJob(5, (), 0, tuple(ids), 1, 4, 3))
    assert (made.ids, sorted(made.choices)) == ((), [1, 2, 3])
    features = model.encode(frames)
    for place, choice in made.choices.items():
        assert choice.ids[0] == ids[place]
        assert len(set(choice.ids)) == len(choice.ids) == 4
        assert list(choice.chances) == sorted(choice.chances, reverse=True)
        assert 0 < sum(choice.chances) <= 1 + 1e-6
        embeddings = model.splice([*PROMPT, *ids[:place]], features)
        states = model.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state[0]
        logits = model.lm_head(states[-1:])[:, : model.vocab_size]
        for earlier, later in itertools.pairwise(choice.ids):  # each is the choice once those before it can't be chosen
            logits[:, earlier] = -torch.inf
            assert choose(logits, sampling, [place]) == [later]
    assert drafter.draft(2) == recomputed(model, features, ids, 2, sampling)[0]
    drafter.commit(2, [(ids[2] + 1) % 120, 7])
    again = drafter.branch(BranchJob(4, (), 0, drafter.answer, 0, 9, 3))
    assert sorted(again.choices) == [0]  # told before, or about another answer
