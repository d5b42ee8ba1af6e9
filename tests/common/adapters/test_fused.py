"""Drafts of an adapter that reads the target's states: piece by piece, with steps back, they equal a recompute."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.adapters import FusedAdapter, FusedAnswer
from tests.common.adapters.test_levels import small

POSITIONS = 48
# (commit so many tokens, the drafter's states go back by so many and come again, so many new ones, drafts of so many)
STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 4), st.integers(1, 6)), min_size=1, max_size=10
)


def fused() -> FusedAdapter:
    adapter = small("L5F", positions=POSITIONS)
    assert isinstance(adapter, FusedAdapter)
    return adapter


def recomputed(adapter: FusedAdapter, rows: Tensor, target: Tensor, base: int, stop: int) -> Tensor:
    """Position by position, each time over the whole answer."""
    known = torch.cat((torch.zeros(1, 24), target[:base]))
    for end in range(base + 1, min(stop, len(rows), POSITIONS) + 1):
        said = adapter(rows[:end], previous=known[:end])
        known = torch.cat((known[:end], said[-1:]))
    return known[base + 1 :]


@given(steps=STEPS, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_drafts_equal_a_recompute(steps: list[tuple[int, int, int, int]], seed: int) -> None:
    adapter = fused()
    answer = FusedAnswer(adapter)
    generator = torch.Generator().manual_seed(seed)
    rows, target, base = torch.empty(0, 16), torch.empty(0, 24), 0
    for committed, back, fresh, count in steps:
        passed = torch.randn(committed + 2, 24, generator=generator)  # the last two chose for drafts that failed
        answer.verify(base, passed)
        target, base = torch.cat((target, passed[:committed])), base + committed
        first = max(0, len(rows) - back)
        rows = torch.cat((rows[:first], torch.randn(back + fresh, 16, generator=generator)))
        assert answer.tell(first, rows[first:])
        for stop in (base + 1, base + count):
            with torch.no_grad():
                expected = recomputed(adapter, rows, target, base, stop) if len(rows) > base else torch.empty(0, 24)
            torch.testing.assert_close(answer.draft(base, stop), expected, rtol=1e-4, atol=1e-4)


def test_what_is_missing_makes_no_draft() -> None:
    answer = FusedAnswer(fused())
    assert not answer.tell(2, torch.randn(3, 16)), "states 0 and 1 were never told"
    assert answer.tell(0, torch.randn(3, 16))
    assert len(answer.draft(1, 3)) == 0, "nobody said from which state the target chose token 0"
    answer.verify(0, torch.randn(2, 24))
    assert len(answer.draft(1, 9)) == 2
    assert len(answer.draft(3, 9)) == 0


def test_drafts_end_with_the_positions() -> None:
    answer = FusedAnswer(fused())
    answer.tell(0, torch.randn(POSITIONS + 5, 16))
    assert len(answer.draft(0, POSITIONS + 5)) == POSITIONS


@pytest.mark.parametrize("count", [1, 40])
def test_drafts_change_as_the_target_goes_on(count: int) -> None:
    """What is drafted behind the base is a guess on a guess; one commit later it reads what the target really knew."""
    answer = FusedAnswer(fused())
    answer.tell(0, torch.randn(count + 1, 16))
    before = answer.draft(0, count + 1)[1:]
    answer.verify(0, torch.randn(1, 24))
    after = answer.draft(1, count + 1)
    assert after.shape == before.shape
    assert not torch.allclose(before, after)
