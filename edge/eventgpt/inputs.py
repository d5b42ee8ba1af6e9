"""What the drafter accepts as frames and as ids, brought to one form each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import InputError, PromptError
from common.frames import clip_pixels

EventFrames = Sequence[NDArray[Any]] | Sequence[Tensor] | NDArray[Any] | Tensor
"""RGB uint8 pictures [height, width, 3] (each of its own size), or preprocessed pixels [T, 3, S, S]."""

TokenIds = Sequence[int] | Sequence[Sequence[int]] | NDArray[np.int64] | Tensor
"""Ids of one prompt as a list, [n] or [1, n], or of a batch [B, n]."""


def as_pixels(frames: EventFrames, size: int) -> Tensor:
    """Frames of any accepted form as float pixels [T, 3, size, size].

    Raises:
        InputError: there are no frames, or they are of another shape or type.
    """
    if len(frames) == 0:
        raise InputError("there are no frames to look at")
    if not torch.as_tensor(frames[0]).is_floating_point():
        return torch.from_numpy(clip_pixels([np.asarray(frame) for frame in frames], size))
    shapes = {tuple(frame.shape) for frame in frames}
    if shapes != {(3, size, size)}:
        raise InputError(f"pixels must be [frames, 3, {size}, {size}], the frames are {sorted(shapes)}")
    return torch.stack([torch.as_tensor(frame) for frame in frames])


def as_ids(input_ids: TokenIds, device: torch.device) -> Tensor:
    """Ids of any accepted form as an integer tensor [B, n].

    Raises:
        PromptError: there are none, or they are of another shape or type.
    """
    try:
        ids = torch.as_tensor(input_ids, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PromptError(f"a prompt is a list of integer ids ({error})") from error
    if ids.dim() == 1:
        ids = ids.unsqueeze(0)
    if ids.dim() != 2 or ids.numel() == 0:
        raise PromptError(f"a prompt needs at least one id; its ids have shape {list(ids.shape)}")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise PromptError(f"ids must be integers, not {ids.dtype}")
    return ids.long()
