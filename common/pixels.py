"""The last step of CLIP's preprocessing: levels of colour to the values that a vision tower takes. numpy alone."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Crops = NDArray[np.uint8]
Pixels = NDArray[np.float32]


def normalised(crops: Crops) -> Pixels:
    """Pictures of their final size, uint8 [n, size, size, 3], to float32 [n, 3, size, size] as CLIP wants them."""
    count, height, width, _ = crops.shape
    pixels = np.empty((count, 3, height, width), dtype=np.float32)
    levels = _normalised_levels()
    for crop, out in zip(crops, pixels, strict=True):
        for channel in range(3):
            np.take(levels[channel], crop[..., channel], out=out[channel])
    return pixels


@cache
def _normalised_levels() -> Pixels:
    """The pixel value of each of the 256 levels of each channel, [3, 256], rounded as transformers does."""
    levels = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    mean, std = np.array(CLIP_MEAN, dtype=np.float32), np.array(CLIP_STD, dtype=np.float32)
    values: Pixels = (levels[None, :] - mean[:, None]) / std[:, None]
    return values
