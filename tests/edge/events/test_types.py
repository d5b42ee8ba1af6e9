"""The canonical events: rules, windows, joining."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import EventFormatError
from edge.events import Events, concatenate, empty_events
from tests.edge.events.made import assert_same, made_events


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.integers(0, 300), st.integers(-50, 350), st.integers(0, 400), st.integers(0, 99))
def test_window_equals_brute_force(count: int, span: int, start: int, duration: int, seed: int) -> None:
    events = made_events(count, width=9, height=7, span_us=span, seed=seed)
    window = events.window(start, duration)
    inside = [index for index in range(count) if start <= events.t[index] < start + duration]
    expected = Events(events.x[inside], events.y[inside], events.t[inside], events.p[inside], 9, 7)
    assert_same(window, expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.lists(st.integers(0, 300), max_size=5), st.integers(0, 99))
def test_adjacent_windows_join_to_the_whole(count: int, cuts: list[int], seed: int) -> None:
    events = made_events(count, span_us=300, seed=seed)
    edges = [0, *sorted(cuts), 301]
    assert_same(concatenate([events.window(a, b - a) for a, b in pairwise(edges)]), events)


def test_duration_and_length() -> None:
    events = made_events(100, start_us=10**12)
    assert len(events) == 100
    assert events.duration_us == int(events.t.max()) - int(events.t.min())
    assert empty_events(4, 3).duration_us == 0
    assert len(empty_events(4, 3)) == 0


def changed(**columns: Any) -> dict[str, Any]:
    events = made_events(10, width=20, height=10)
    whole = {name: getattr(events, name) for name in ("x", "y", "t", "p", "width", "height")}
    return whole | columns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"t": np.array([0, 1, 2, 9, 8, 9, 10, 11, 12, 13])}, "event 4 is earlier than the one before it"),
        ({"x": np.array([0] * 9 + [20], np.uint16)}, "event 9 lies outside the 20x10 sensor"),
        ({"y": np.array([10] + [0] * 9, np.uint16)}, "event 0 lies outside the 20x10 sensor"),
        ({"p": np.array([0, 1, 2] + [0] * 7, np.uint8)}, "event 2 has another polarity"),
        ({"x": np.zeros(9, np.uint16)}, "different lengths"),
        ({"t": np.zeros(10, np.float64)}, "'t' must be .* int64 .* not float64"),
        ({"x": np.zeros((10, 1), np.uint16)}, "one-dimensional"),
        ({"p": [0] * 10}, "not list"),
        ({"width": 0}, "no sensor has 0x10"),
        ({"height": 70_000}, "no sensor has 20x70000"),
    ],
)
def test_broken_rules_are_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(EventFormatError, match=message):
        Events(**changed(**columns))


def test_chunks_out_of_order_or_of_other_sensors_do_not_join() -> None:
    early, late = made_events(5, span_us=10), made_events(5, span_us=10, start_us=100)
    with pytest.raises(EventFormatError, match="not sorted"):
        concatenate([late, early])
    with pytest.raises(EventFormatError, match="different sizes"):
        concatenate([early, made_events(5, width=9, height=7, start_us=100)])
    with pytest.raises(EventFormatError, match="nothing to join"):
        concatenate([])
