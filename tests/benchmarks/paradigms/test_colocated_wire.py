from __future__ import annotations

import zlib

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paradigms.colocated.wire import PictureSpec, decode_opening, encode_opening
from common.errors import MessageError


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=5), st.binary(max_size=20))
def test_an_opening_survives_the_wire(sizes: list[tuple[int, int]], ask: bytes) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    back, frames = decode_opening(encode_opening(ask, pictures))
    assert back == ask
    assert len(frames) == len(pictures)
    assert all(np.array_equal(a, b) for a, b in zip(frames, pictures, strict=True))


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode_opening(data)
    with pytest.raises(MessageError):
        PictureSpec.decode(data)


def test_pictures_that_are_larger_or_smaller_than_said_are_refused() -> None:
    for shapes in ([[2, 2, 3]], [[4, 4, 3]], [[1 << 15, 1 << 15, 3]]):
        data = msgpack.packb({"ask": b"", "shapes": shapes, "pictures": zlib.compress(bytes(27))})
        with pytest.raises(MessageError):
            decode_opening(data)


def test_the_spec_survives_the_wire() -> None:
    spec = PictureSpec(5, 50_000, sensor_canvas=True)
    assert PictureSpec.decode(spec.encode()) == spec
