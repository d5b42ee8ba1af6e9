"""Preprocessing equals transformers' own, for pictures of any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from common.errors import InputError
from common.frames import clip_pixels


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), size=st.integers(2, 90), seed=st.integers(0, 9))
def test_equal_to_transformers(height: int, width: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}, do_convert_rgb=False
    )
    reference = processor(frame, input_data_format="channels_last")["pixel_values"][0]
    np.testing.assert_allclose(clip_pixels([frame], size)[0], reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (37, 1280), (720, 336), (336, 336), (335, 337), (9, 9)])
def test_equal_to_transformers_at_the_models_size(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    frames = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(2)]
    processor = CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    reference = np.stack(processor(frames)["pixel_values"])
    pixels = clip_pixels(frames, 336)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, reference, rtol=0, atol=1e-6)


def test_frames_may_differ_in_size_and_may_be_views() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    frames = [whole, whole[::2, ::-1], whole[:, :, ::-1]]
    pixels = clip_pixels(frames, 28)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(pixels[index], clip_pixels([frame.copy()], 28)[0])
    np.testing.assert_array_equal(clip_pixels(whole[None], 28), pixels[:1])


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.zeros((8, 8, 4), np.uint8)],
        [np.zeros((8, 8), np.uint8)],
        [np.zeros((8, 8, 3), np.float32)],
        [np.zeros((0, 8, 3), np.uint8)],
    ],
)
def test_what_is_no_picture_is_refused(frames: list[NDArray[np.uint8]]) -> None:
    with pytest.raises(InputError, match="frame"):
        clip_pixels(frames, 8)
