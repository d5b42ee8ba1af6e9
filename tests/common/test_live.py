"""The law of live windows: what both sides compute from times alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.live import LEAST_STRIDE_US, MOST_CELLS, LiveWindow, Sampler
from common.video_sampling import sampled_indices

WINDOWS = st.builds(LiveWindow, stride_us=st.integers(LEAST_STRIDE_US, 10**7), cells=st.integers(1, 40))
GAPS = st.lists(st.integers(1, 3 * 10**6), min_size=1, max_size=120)


def sampled(window: LiveWindow, gaps: list[int]) -> list[int]:
    sampler, now, times = Sampler(window), 0, list[int]()
    for gap in gaps:
        now += gap
        if sampler.take(now):
            times.append(now)
    return times


@settings(deadline=None)
@given(WINDOWS, GAPS, st.integers(1, 12))
def test_the_window_is_the_last_cells_one_picture_each(window: LiveWindow, gaps: list[int], count: int) -> None:
    times = sampled(window, gaps)
    cells = [window.cell(t) for t in times]
    assert cells == sorted(set(cells))
    members = window.members(times)
    assert 1 <= len(members) <= window.cells and members[-1] == len(times) - 1
    inside = [i for i, cell in enumerate(cells) if cell > cells[-1] - window.cells]
    assert list(members) == inside
    assert all(times[i] >= window.begin(times[-1]) for i in inside)
    chosen = window.looked_at(times, count)
    assert len(chosen) == count and chosen == sorted(chosen)
    assert (chosen[-1] == members[-1] or count == 1) and chosen[0] == members[0]


@settings(deadline=None)
@given(WINDOWS, GAPS)
def test_what_came_before_the_window_changes_nothing(window: LiveWindow, gaps: list[int]) -> None:
    times = sampled(window, gaps)
    kept = times[window.members(times)[0] :]
    chosen = [times[i] for i in window.looked_at(times, 8)]
    assert chosen == [kept[i] for i in window.looked_at(kept, 8)]
    # and alone they are looked at as a clip of exactly these
    assert chosen == [kept[i] for i in sampled_indices(len(kept), 8)]


def test_with_a_cell_a_frame_the_next_picture_moves_the_window_by_one() -> None:
    window = LiveWindow(500_000, 8)
    times = [500_000 * n + (n * 37_000) % 90_000 for n in range(30)]
    for end in range(9, 30):
        before, after = window.looked_at(times[: end - 1], 8), window.looked_at(times[:end], 8)
        assert after == [*before[1:], end - 1]


def test_a_camera_that_stalled_leaves_nothing_old_in_the_window() -> None:
    window = LiveWindow(1_000_000, 4)
    times = [0, 1_000_000, 2_000_000, 60_000_000]
    assert window.looked_at(times, 4) == [3, 3, 3, 3]
    assert window.looked_at([], 4) == []


def test_a_sampler_takes_no_time_that_goes_back() -> None:
    sampler = Sampler(LiveWindow(100_000, 4))
    assert [sampler.take(t) for t in (250_000, 299_999, 120_000, 300_000, 300_000)] == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("stride", "cells"), [(0, 8), (LEAST_STRIDE_US - 1, 8), (2**62, 8), (10**6, 0), (10**6, MOST_CELLS + 1)]
)
def test_windows_that_make_no_sense_are_refused(stride: int, cells: int) -> None:
    with pytest.raises(ValueError, match="live"):
        LiveWindow(stride, cells)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 16])
def test_frames_are_sampled_as_numpy_would(count: int) -> None:
    for total in [*range(1, 500), 19_999, 20_000]:
        assert sampled_indices(total, count) == [int(index) for index in np.linspace(0, total - 1, count)]
