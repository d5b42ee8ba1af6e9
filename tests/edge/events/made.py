"""Events made up for tests."""

import numpy as np

from edge.events import Events


def made_events(
    count: int,
    *,
    width: int = 640,
    height: int = 480,
    span_us: int = 50_000,
    start_us: int = 0,
    seed: int = 0,
) -> Events:
    """`count` random events, sorted, over about `span_us` from `start_us` on."""
    random = np.random.default_rng(seed)
    return Events(
        random.integers(0, width, count).astype(np.uint16),
        random.integers(0, height, count).astype(np.uint16),
        np.sort(random.integers(0, max(span_us, 1), count)) + start_us,
        random.integers(0, 2, count).astype(np.uint8),
        width,
        height,
    )


def assert_same(left: Events, right: Events) -> None:
    """All four columns and the sensor are equal, dtypes included."""
    for name in ("x", "y", "t", "p"):
        assert getattr(left, name).dtype == getattr(right, name).dtype
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert (left.width, left.height) == (right.width, right.height)
