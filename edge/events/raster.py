"""EventGPT's picture of events: frames of equal event count, blue and red on white, the last event wins.

Source: XduSyL/EventGPT (CVPR 2025), whose loop over events these frames equal bit for bit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from common.errors import EventFormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.events.types import Events

_PAPER = 255


def raster(events: Events, *, frames: int = 5, canvas: tuple[int, int] | None = None) -> list[NDArray[np.uint8]]:
    """Draw events as EventGPT sees them.

    The events are cut into `frames` slices of `len(events) // frames` events each, the remainder going to the
    last. Each slice is drawn on white: polarity 0 blue (0, 0, 255), polarity 1 red (255, 0, 0); the last
    event at a pixel wins.

    Args:
        events: at least one event a frame.
        frames: number of pictures.
        canvas: (height, width) of every picture. If not given, each is just large enough for its own slice,
            `(y.max() + 1, x.max() + 1)`, as in the original: silent borders are cut.

    Returns:
        `frames` arrays, uint8 RGB [H, W, 3], which share one block of memory.

    Raises:
        EventFormatError: fewer events than frames, or an event outside the canvas.
    """
    if frames < 1:
        raise ValueError(f"frames must be positive, not {frames}")
    count = len(events) // frames
    if count == 0:
        raise EventFormatError(
            f"{len(events)} events are too few for {frames} frames; choose a longer window, or fewer frames"
        )
    starts = [index * count for index in range(frames)] + [len(events)]
    parts = [slice(first, last) for first, last in pairwise(starts)]
    sizes = [_size(events.x[part], events.y[part], canvas) for part in parts]
    # One block for all frames: many small ones would each be fetched from, and given back to, the system.
    paper = np.full(sum(height * width * 3 for height, width in sizes), _PAPER, dtype=np.uint8)
    pictures = []
    for part, (height, width) in zip(parts, sizes, strict=True):
        picture, paper = paper[: height * width * 3], paper[height * width * 3 :]
        _draw(picture, width, events.x[part], events.y[part], events.p[part])
        pictures.append(picture.reshape(height, width, 3))
    return pictures


def _size(x: NDArray[np.uint16], y: NDArray[np.uint16], canvas: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of a slice's picture."""
    height, width = int(y.max()) + 1, int(x.max()) + 1
    if canvas is None:
        return height, width
    if height > canvas[0] or width > canvas[1]:
        raise EventFormatError(
            f"events reach {width}x{height} pixels, outside the {canvas[1]}x{canvas[0]} canvas; enlarge it"
        )
    return canvas


def _draw(
    picture: NDArray[np.uint8],
    width: int,
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.uint8],
) -> None:
    """Dot a slice onto a flat white picture [H * width * 3].

    Three flat assignments, one a channel, are several times faster than one of RGB rows. numpy assigns in the
    order of the index array, so of several events at one pixel the last stays (the tests hold it to that).
    """
    position = np.multiply(y, 3 * width, dtype=np.intp)
    position += np.multiply(x, 3, dtype=np.intp)
    red = p * np.uint8(255)
    picture[position] = red
    picture[1:][position] = 0
    picture[2:][position] = ~red
