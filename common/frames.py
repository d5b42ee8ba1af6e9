"""CLIP's picture preprocessing with Pillow and numpy, equal to transformers' `CLIPImageProcessor`.

Shortest edge to `size` (bicubic), centre crop, /255, CLIP's mean and standard deviation. Both models use it:
EventGPT for its event frames, Video-LLaVA for its video frames. It needs neither torch nor torchvision.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import InputError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Frame = NDArray[np.uint8]
Pixels = NDArray[np.float32]


def clip_pixels(frames: Sequence[Frame] | Frame, size: int) -> Pixels:
    """Preprocess RGB frames, each uint8 [height, width, 3] of any size, to float32 [n, 3, size, size].

    Raises:
        InputError: there is no frame, or one isn't a uint8 RGB picture.
    """
    if len(frames) == 0:
        raise InputError("there are no frames to look at")
    pixels = np.empty((len(frames), 3, size, size), dtype=np.float32)
    for index, frame in enumerate(frames):
        _check(frame, index)
        cropped = _centre_crop(_resize_shortest_edge(frame, size), size)
        for channel in range(3):
            np.take(_normalised_levels()[channel], cropped[..., channel], out=pixels[index, channel])
    return pixels


def _check(frame: Frame, index: int) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise InputError(
            f"frame {index} must be uint8 RGB of shape [height, width, 3], "
            f"it is {frame.dtype} of shape {list(frame.shape)}"
        )


@cache
def _normalised_levels() -> Pixels:
    """The pixel value of each of the 256 levels of each channel, [3, 256], rounded as transformers does."""
    levels = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    mean, std = np.array(CLIP_MEAN, dtype=np.float32), np.array(CLIP_STD, dtype=np.float32)
    normalised: Pixels = (levels[None, :] - mean[:, None]) / std[:, None]
    return normalised


def _resize_shortest_edge(frame: Frame, size: int) -> Frame:
    height, width = frame.shape[:2]
    shorter, longer = sorted((height, width))
    if shorter == size:
        return frame
    long_edge = int(size * longer / shorter)
    new_width, new_height = (size, long_edge) if width <= height else (long_edge, size)
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((new_width, new_height), Image.Resampling.BICUBIC))


def _centre_crop(frame: Frame, size: int) -> Frame:
    height, width = frame.shape[:2]
    top, left = (height - size) // 2, (width - size) // 2
    return frame[top : top + size, left : left + size]
