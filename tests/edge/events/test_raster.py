"""The raster against EventGPT's loop: synthetic events, and the digests of real recordings."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import EventFormatError
from edge.events import load_events, raster
from tests.edge.events.made import made_events
from tests.edge.events.recordings import recording


def original(x: NDArray[np.uint16], y: NDArray[np.uint16], p: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """EventGPT's own loop for one slice."""
    picture = np.ones((int(y.max()) + 1, int(x.max()) + 1, 3), dtype=np.uint8) * 255
    for column, row, polarity in zip(x, y, p, strict=True):
        picture[row, column] = [0, 0, 255] if polarity == 0 else [255, 0, 0]
    return picture


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 400), st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32))
def test_equals_the_original_loop(count: int, width: int, height: int, frames: int, seed: int) -> None:
    """Small sensors give many events at one pixel, so the order of assignment is tested too."""
    events = made_events(count, width=width, height=height, seed=seed)
    pictures = raster(events, frames=frames)
    assert len(pictures) == frames
    each = count // frames
    for index, picture in enumerate(pictures):
        part = slice(index * each, count if index == frames - 1 else (index + 1) * each)
        np.testing.assert_array_equal(picture, original(events.x[part], events.y[part], events.p[part]))


def test_last_event_wins_among_a_million_at_few_pixels() -> None:
    """Large enough that numpy could split or reorder the assignment if it ever did."""
    events = made_events(1_000_000, width=7, height=5, seed=3)
    (picture,) = raster(events, frames=1)
    flat = events.y.astype(int) * 7 + events.x
    for pixel in range(35):
        last = np.flatnonzero(flat == pixel)[-1]
        assert picture[pixel // 7, pixel % 7].tolist() == ([255, 0, 0] if events.p[last] else [0, 0, 255])


def test_a_given_canvas_shows_the_same_dots_on_more_paper() -> None:
    events = made_events(500, width=20, height=10, seed=1)
    small = raster(events)
    for picture, cut in zip(raster(events, canvas=(12, 30)), small, strict=True):
        assert picture.shape == (12, 30, 3)
        height, width = cut.shape[:2]
        np.testing.assert_array_equal(picture[:height, :width], cut)
        assert (picture[height:] == 255).all()
        assert (picture[:, width:] == 255).all()


def test_too_few_events_and_a_canvas_too_small_are_refused() -> None:
    with pytest.raises(EventFormatError, match="4 events are too few for 5 frames"):
        raster(made_events(4, width=8, height=8, seed=0))
    with pytest.raises(EventFormatError, match="outside the 4x8 canvas"):
        raster(made_events(400, width=8, height=8, seed=0), canvas=(8, 4))
    with pytest.raises(ValueError, match="frames"):
        raster(made_events(400, width=8, height=8, seed=0), frames=0)


@pytest.mark.parametrize("name", ["sample1.npy", "dsec_000069.npy", "dsec_000089.npy"])
def test_real_recordings_give_the_original_frames_bit_for_bit(name: str) -> None:
    expected = json.loads(recording("raster.json").read_text())[name]
    events = load_events(recording(name))
    assert len(events) == expected["events"]
    assert events.duration_us == expected["span_us"]
    for picture, frame in zip(raster(events), expected["frames"], strict=True):
        assert list(picture.shape) == frame["shape"]
        assert hashlib.sha256(picture.tobytes()).hexdigest() == frame["sha256"]
