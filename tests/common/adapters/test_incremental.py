"""State by state with random steps back equals all at once; what looks ahead refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.adapters import Incremental, create_adapter
from common.errors import ModelError, SessionError
from tests.common.adapters.test_levels import small

# what happens to an answer: (go back to this share of it, then so many states more)
STEPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), min_size=1, max_size=12)


@pytest.mark.parametrize("level", ["L1", "L1S", "L2", "L3", "L5"])
@given(steps=STEPS, seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_incremental_with_rollbacks_equals_recompute(level: str, steps: list[tuple[float, int]], seed: int) -> None:
    adapter = small(level, positions=64) if level == "L5" else small(level)
    generator = torch.Generator().manual_seed(seed)
    states, outputs = torch.empty(0, 16), torch.empty(0, 24)
    answer = Incremental(adapter)
    for share, count in steps:
        kept = int(share * len(states))
        fresh = torch.randn(count, 16, generator=generator)
        answer.truncate(kept)
        outputs = torch.cat((outputs[:kept], answer.extend(fresh)))
        states = torch.cat((states[:kept], fresh))
        assert answer.length == len(states)
    with torch.no_grad():
        torch.testing.assert_close(outputs, adapter(states), rtol=1e-4, atol=1e-4)


def test_answers_dont_meet() -> None:
    adapter = small("L5", positions=16)
    one, other = Incremental(adapter), Incremental(adapter)
    states = torch.randn(4, 16)
    one.extend(torch.randn(4, 16))
    torch.testing.assert_close(other.extend(states), adapter(states))


def test_nothing_is_copied() -> None:
    answer = Incremental(small("L5", positions=16))
    assert answer._cache is not None
    before = answer._cache._keys.data_ptr()
    for _ in range(4):
        answer.extend(torch.randn(3, 16))
        answer.truncate(answer.length - 1)
    assert answer._cache._keys.data_ptr() == before
    assert answer.room == 16 - 8


@pytest.mark.parametrize("level", ["L4", "tokens"])
def test_what_looks_ahead_needs_a_chunk(level: str) -> None:
    adapter = create_adapter(level, 16, 16)
    with pytest.raises(ModelError, match="needs a chunk"):
        Incremental(adapter)


def test_what_needs_more_says_so() -> None:
    with pytest.raises(ModelError, match="target's states"):
        Incremental(small("L5F"))
    with pytest.raises(ModelError, match="embeddings"):
        Incremental(small("L5", token_fusion=True))


def test_the_end_of_the_positions() -> None:
    answer = Incremental(small("L5", positions=4))
    answer.extend(torch.randn(3, 16))
    with pytest.raises(ModelError, match="4 positions"):
        answer.extend(torch.randn(2, 16))
    answer.extend(torch.randn(1, 16))
    with pytest.raises(SessionError):
        answer.truncate(5)
