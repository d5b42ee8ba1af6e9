"""Which frames of a video the target looks at. Needs no decoder."""

from __future__ import annotations

import numpy as np


def sampled_indices(total: int, count: int = 8) -> list[int]:
    """The frames that Video-LLaVA looks at: evenly spread, first and last included, some twice if there are few.

    Source: `numpy.linspace(0, total - 1, count)`, cut to whole numbers, as in the original.
    """
    if total < 1 or count < 1:
        raise ValueError(f"can't take {count} of {total} frames")
    return [int(index) for index in np.linspace(0, total - 1, count)]
