"""The edge's half of adapters: states kept and ids chosen across rollbacks; what doesn't fit is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.adapters import Adapter, LoadedAdapter, SplitAdapter, TokenAdapter, create_adapter, from_int8
from common.adapters.head import TargetHead
from common.errors import ModelError
from common.sampling import choose
from common.types import SamplingParams
from edge.adapting import ChunkDrafter, MirrorHead, StatesDrafter, edge_adapter
from edge.drafter import Drafter
from edge.eventgpt import EventGPT
from edge.forms import DraftForm, StateRow
from tests.common.adapters.test_levels import stir
from tests.edge.eventgpt_samples import small_model

HIDDEN, TARGET, VOCAB = 64, 48, 120
SAMPLED = SamplingParams(1.0, seed=5)
PROMPT = [1, 5, 9, 30, 8]
# (commit at this share of the answer, these ids), then so many tokens drafted
STEPS = st.lists(
    st.tuples(st.floats(0, 1), st.lists(st.integers(3, VOCAB - 1), max_size=3), st.integers(1, 4)), max_size=6
)


@pytest.fixture(scope="module")
def model() -> EventGPT:
    return small_model(eos_token_id=127, max_position_embeddings=160)


def adapter(level: str, **sizes: int) -> Adapter:
    torch.manual_seed(1)
    made = create_adapter(level, HIDDEN, TARGET, **{"width": 24, **sizes})
    stir(made)
    assert isinstance(made, Adapter)
    return made.eval().requires_grad_(False)


def head() -> TargetHead:
    return TargetHead(torch.randn(VOCAB, TARGET, generator=torch.Generator().manual_seed(2)), VOCAB - 2)


def recomputed(model: EventGPT, answer: Sequence[int], layers: int) -> torch.Tensor:
    """States of answer positions 0 ... len(answer), from one ordinary forward."""
    ids = torch.tensor([[*PROMPT, *answer]])
    output = model.model(input_ids=ids, output_hidden_states=True, use_cache=False)
    states: Any = output.hidden_states[-layers:]
    return torch.cat([s[0] for s in states], dim=-1)[len(PROMPT) - 1 :]


def wander(drafter: Drafter, steps: list[tuple[float, list[int], int]]) -> None:
    """Draft, be corrected anywhere, draft again."""
    drafter.draft(3)
    for share, ids, count in steps:
        drafter.commit(int(share * drafter.position), ids)
        drafter.draft(count)


@pytest.mark.parametrize("layers", [1, 2])
@given(steps=STEPS)
@settings(max_examples=15, deadline=None)
def test_states_of_all_positions_across_rollbacks(
    model: EventGPT, layers: int, steps: list[tuple[float, list[int], int]]
) -> None:
    drafter = Drafter(model, vocab_size=VOCAB, max_tokens=80, layers=layers)
    drafter.prefill(PROMPT)
    wander(drafter, steps)
    expected = recomputed(model, drafter.answer, layers)
    for first in (0, len(drafter.answer) // 2):
        states = drafter.states(first)
        torch.testing.assert_close(states, expected[first : first + len(states)], rtol=1e-3, atol=1e-4)
        assert len(states) == len(drafter.answer) - first


@pytest.mark.parametrize("form", [DraftForm.HIDDEN, DraftForm.INT8, DraftForm.CODES])
@given(steps=STEPS)
@settings(max_examples=10, deadline=None)
def test_states_that_travel_are_those_of_the_answer(
    model: EventGPT, form: DraftForm, steps: list[tuple[float, list[int], int]]
) -> None:
    split = adapter("L1S", layers=2)
    assert isinstance(split, SplitAdapter)
    inner = Drafter(model, vocab_size=VOCAB, max_tokens=80, layers=2)
    drafter = StatesDrafter(inner, inner, split, form)
    inner.prefill(PROMPT)
    rows: list[StateRow] = []
    drafter.draft(2)
    for share, ids, count in [*steps, (1.0, [], 2)]:
        drafter.commit(int(share * inner.position), ids)
        drafter.draft(count)
        states = drafter.take_states()
        assert states.first <= len(rows)
        rows[states.first :] = states.rows
    fused = split.fuse(recomputed(model, inner.answer, 2))[: len(rows)]
    expected = split.encode(fused) if form is DraftForm.CODES else fused
    dtype = np.float16 if form is DraftForm.HIDDEN else np.int8
    numbers = torch.from_numpy(np.stack([np.frombuffer(row.data, dtype=dtype) for row in rows]).copy())
    if form is DraftForm.HIDDEN:
        sent = numbers.float()
    else:
        scales = np.concatenate([np.frombuffer(row.scale, dtype=np.float16) for row in rows])
        sent = from_int8(numbers, torch.from_numpy(scales))
    torch.testing.assert_close(sent, expected, rtol=0.01, atol=float(expected.abs().max()) / 100)


@pytest.mark.parametrize("level", ["L1", "L2", "L3", "L5"])
@pytest.mark.parametrize("sampling", [SamplingParams(), SAMPLED], ids=["greedy", "sampled"])
def test_the_mirror_chooses_as_the_targets_head_would(model: EventGPT, level: str, sampling: SamplingParams) -> None:
    made, target = adapter(level), head()
    drafter = Drafter(model, sampling=sampling, max_tokens=80, layers=1, head=MirrorHead(made, target))
    drafter.prefill(PROMPT)
    drafter.draft(5)
    for position, ids in ((2, [7]), (3, [9, 11, 12, 13]), (0, list(drafter.answer)), (1, [44])):
        drafter.commit(position, ids)
        known = drafter.position
        ids = drafter.draft(4)
        states = recomputed(model, drafter.answer, 1)[: drafter.position]
        with torch.no_grad():
            logits = target.logits(made(states))
        expected = choose(logits, sampling, range(drafter.position))
        assert ids == expected[known:]


def test_the_mirror_stops_where_the_positions_end(model: EventGPT) -> None:
    drafter = Drafter(model, max_tokens=80, layers=1, head=MirrorHead(adapter("L5", positions=6), head()))
    drafter.prefill(PROMPT)
    drafted = drafter.draft(20)
    assert len(drafted) <= 6
    assert drafter.draft(3) == []


@pytest.mark.parametrize("kind", ["states", "tokens"])
def test_chunks_are_corrected_and_gone_on_from(model: EventGPT, kind: str) -> None:
    made: Adapter | TokenAdapter = adapter("L4", heads=4)
    if kind == "tokens":
        tokens = create_adapter("tokens", vocab_size=VOCAB, embedding=16, width=16, blocks=1, heads=4, positions=8)
        stir(tokens)
        assert isinstance(tokens, TokenAdapter)
        with torch.no_grad():
            tokens.keep.fill_(0.5)
        made = tokens.eval()
    inner = Drafter(model, vocab_size=VOCAB, max_tokens=80, layers=1)
    drafter = ChunkDrafter(inner, inner, made, head() if kind == "states" else None)
    inner.prefill(PROMPT)
    said: list[int] = []
    for count in (4, 3, 12):
        said += drafter.draft(count)
        assert list(inner.answer) == said
    plain = Drafter(model, vocab_size=VOCAB, max_tokens=40)
    plain.prefill(PROMPT)
    plain.commit(0, said)
    inner_next, plain_next = inner.draft(2), plain.draft(2)
    assert inner_next == plain_next, "the drafter must go on behind what the adapter said"


@pytest.mark.parametrize(
    ("level", "form", "sizes", "words"),
    [
        ("L1", DraftForm.CODES, {}, "L1S"),
        ("L5F", DraftForm.MIRROR, {}, "target's own states"),
        ("tokens", DraftForm.HIDDEN, {"vocab_size": VOCAB}, "mirror"),
        ("tokens", DraftForm.MIRROR, {"vocab_size": 20}, "knows 20 ids"),
        ("L1", DraftForm.MIRROR, {}, "--vision-model"),
        ("L1", DraftForm.HIDDEN, {"layers": 9}, "9 layers"),
    ],
)
def test_what_doesnt_fit(level: str, form: DraftForm, sizes: dict[str, int], words: str) -> None:
    loaded = LoadedAdapter(create_adapter(level, HIDDEN, TARGET, **sizes), "f")
    with pytest.raises(ModelError, match=words):
        edge_adapter(loaded, form, drafter_hidden=HIDDEN, drafter_layers=2, vocab_size=VOCAB, target=None)


def test_another_drafters_adapter() -> None:
    loaded = LoadedAdapter(create_adapter("L1", 32, TARGET), "f")
    with pytest.raises(ModelError, match="width 32, the drafter has 64"):
        edge_adapter(loaded, DraftForm.HIDDEN, drafter_hidden=HIDDEN, drafter_layers=2, vocab_size=VOCAB, target=None)
