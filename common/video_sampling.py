"""Which frames of a video the target looks at. Needs no decoder, and no numpy: a command line asks too."""

from __future__ import annotations


def sampled_indices(total: int, count: int = 8) -> list[int]:
    """The frames that Video-LLaVA looks at: evenly spread, first and last included, some twice if there are few.

    Source: `numpy.linspace(0, total - 1, count)`, cut to whole numbers, as in the original; in the same floats.
    """
    if total < 1 or count < 1:
        raise ValueError(f"can't take {count} of {total} frames")
    if count == 1:
        return [0]
    step = (total - 1) / (count - 1)
    return [*(int(index * step) for index in range(count - 1)), total - 1]
