"""CLIP's picture preprocessing with Pillow and numpy, equal to transformers' `CLIPImageProcessor`.

Shortest edge to `size` (bicubic), centre crop, /255, CLIP's mean and standard deviation. Both models use it:
EventGPT for its event frames, Video-LLaVA for its video frames. It needs neither torch nor torchvision.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import InputError
from common.pixels import CLIP_MEAN, CLIP_STD, Crops, Pixels, normalised

__all__ = ["CLIP_MEAN", "CLIP_STD", "Frame", "Pixels", "clip_crops", "clip_pixels"]

Frame = NDArray[np.uint8]


def clip_pixels(frames: Sequence[Frame] | Frame, size: int) -> Pixels:
    """Preprocess RGB frames, each uint8 [height, width, 3] of any size, to float32 [n, 3, size, size].

    Raises:
        InputError: there is no frame, or one isn't a uint8 RGB picture.
    """
    return normalised(clip_crops(frames, size))


def clip_crops(frames: Sequence[Frame] | Frame, size: int) -> Crops:
    """Scale and crop RGB frames, each uint8 [height, width, 3] of any size, to uint8 [n, size, size, 3].

    Raises:
        InputError: as `clip_pixels`.
    """
    if len(frames) == 0:
        raise InputError("there are no frames to look at")
    crops = np.empty((len(frames), size, size, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        _check(frame, index)
        crops[index] = _centre_crop(_resize_shortest_edge(frame, size), size)
    return crops


def _check(frame: Frame, index: int) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise InputError(
            f"frame {index} must be uint8 RGB of shape [height, width, 3], "
            f"it is {frame.dtype} of shape {list(frame.shape)}"
        )


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
