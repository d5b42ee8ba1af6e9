"""Live streams: which frames are kept of them, and which of those a question is about. Pure; both sides use it.

A live stream has no length, so it is cut by a grid of time: cell `k` holds the pictures from `k` strides on. Of each
cell the first picture that was taken counts, and the window is the newest picture's cell and those before it, so many
as the window has. The target looks at the window's pictures as at a clip of exactly these: evenly spread, first and
last included. A camera that stalls leaves cells empty, and nothing older comes in their place.

With as many cells as the target takes frames, the next picture moves the window by one: all others' features are used
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.video_sampling import sampled_indices

LIVE_CODECS = frozenset({"h264", "mjpeg"})  # one picture a packet, at once
MICROSECONDS = (1, 1_000_000)  # the time base of live streams
LEAST_STRIDE_US = 20_000
MOST_STRIDE_US = 3_600_000_000
MOST_CELLS = 4096


@dataclass(frozen=True, slots=True)
class LiveWindow:
    """How a live stream is cut: a picture each `stride_us` microseconds, and `cells` of them make the window."""

    stride_us: int
    cells: int

    def __post_init__(self) -> None:
        if not LEAST_STRIDE_US <= self.stride_us <= MOST_STRIDE_US:
            raise ValueError(
                f"a live stream's pictures must be {LEAST_STRIDE_US / 1e6:g} to {MOST_STRIDE_US / 1e6:g} s apart, "
                f"not {self.stride_us / 1e6:g}"
            )
        if not 1 <= self.cells <= MOST_CELLS:
            raise ValueError(f"a live window must have 1 to {MOST_CELLS} pictures, not {self.cells}")

    @property
    def length_us(self) -> int:
        """The window's length in microseconds."""
        return self.stride_us * self.cells

    def cell(self, time_us: int) -> int:
        """The cell of a picture taken at `time_us`."""
        return time_us // self.stride_us

    def begin(self, newest_us: int) -> int:
        """The time from which on pictures are in the window whose newest was taken at `newest_us`."""
        return (self.cell(newest_us) - self.cells + 1) * self.stride_us

    def members(self, times_us: Sequence[int]) -> range:
        """Places of the window's pictures, of pictures taken at these increasing times, one a cell at most."""
        if not times_us:
            return range(0)
        begin, first = self.begin(times_us[-1]), len(times_us)
        while first > 0 and times_us[first - 1] >= begin:
            first -= 1
        return range(first, len(times_us))

    def looked_at(self, times_us: Sequence[int], count: int) -> list[int]:
        """Places of the `count` pictures that a target looks at: some come twice if the window has fewer."""
        members = self.members(times_us)
        return [members[index] for index in sampled_indices(len(members), count)] if members else []


class Sampler:
    """Takes the first picture of each cell."""

    def __init__(self, window: LiveWindow) -> None:
        self._window = window
        self._last: int | None = None

    def take(self, time_us: int) -> bool:
        """True if the picture taken at that time counts. Times that don't grow never do."""
        cell = self._window.cell(time_us)
        if self._last is not None and cell <= self._last:
            return False
        self._last = cell
        return True
