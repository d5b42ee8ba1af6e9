"""Live streams in the cloud: a rolling window of encoded frames, and which of them lie in the prompt. Pure.

The window's law is `common/live.py`. Frames that wait to be encoded, and features, are bounded by the window: a cloud
that can't follow leaves frames out, the oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cloud.clips import Clip
from cloud.messages import LiveFrames
from common.live import LiveWindow
from common.types import FrameName


@dataclass
class LiveClip(Clip):
    """A clip without an end. `count`: frames that the target looks at.

    Attributes:
        held: frames whose features are kept, in order.
        arranged: frames whose features are the prompt's video, first to last; those of the question while it is lent.
        waiting: frames that are still to be encoded.
    """

    window: LiveWindow = field(default_factory=lambda: LiveWindow(1_000_000, 8))
    count: int = 8
    held: list[FrameName] = field(default_factory=list)
    arranged: tuple[FrameName, ...] = ()
    waiting: list[LiveFrames] = field(default_factory=list)

    @property
    def newest(self) -> FrameName | None:
        """The newest frame that came, encoded or not."""
        if self.waiting:
            return self.waiting[-1].names[-1]
        return self.held[-1] if self.held else None

    def take(self, frames: LiveFrames) -> bool:
        """Frames that came; those that are here already (a stream that begins again repeats some) are left out.

        Returns:
            False if none of them is new.
        """
        newest = self.newest
        first = 0
        if newest is not None:
            known = (newest.number, newest.time_us)
            first = sum(name.number <= known[0] or name.time_us <= known[1] for name in frames.names)
        fresh = LiveFrames(frames.pixels[first:], frames.names[first:])
        if not fresh.names:
            return False
        self.waiting.append(fresh)
        self._leave_out(self.window.begin(fresh.names[-1].time_us))
        return True

    def _leave_out(self, begin_us: int) -> None:
        """Frames that would be out of the window before they are encoded."""
        kept = []
        for frames in self.waiting:
            old = sum(name.time_us < begin_us for name in frames.names)
            if old < len(frames.names):
                kept.append(LiveFrames(frames.pixels[old:], frames.names[old:]) if old else frames)
        self.waiting = kept

    def next_chunk(self, most: int) -> LiveFrames | None:
        """Frames to be encoded now, at most so many; None if none wait."""
        if not self.waiting:
            return None
        frames = self.waiting.pop(0)
        if len(frames.names) > most:
            self.waiting.insert(0, LiveFrames(frames.pixels[most:], frames.names[most:]))
        return LiveFrames(frames.pixels[:most], frames.names[:most])

    def encoded(self, names: Sequence[FrameName]) -> list[FrameName]:
        """These have their features now; returns those that are out of the window, whose features may go."""
        self.held += names
        inside = self.window.members([name.time_us for name in self.held])
        gone, self.held = self.held[: inside.start], self.held[inside.start :]
        return gone

    def looked_at(self) -> tuple[FrameName, ...]:
        """The frames that a question would be about now; none if nothing is encoded yet."""
        return tuple(self.held[i] for i in self.window.looked_at([name.time_us for name in self.held], self.count))

    def wanted(self, numbers: Sequence[int]) -> tuple[FrameName, ...]:
        """The frames of a question about these numbers (none: about the window); none if they aren't all here."""
        if not numbers:
            return self.looked_at()
        by_number = {name.number: name for name in self.held}
        if len(numbers) != self.count or any(number not in by_number for number in numbers):
            return ()
        return tuple(by_number[number] for number in numbers)

    def rearrange(self, wanted: tuple[FrameName, ...]) -> int | None:
        """The prompt's video shall be these; returns how many of its first frames it has already. None: all."""
        if wanted == self.arranged:
            return None
        same = 0
        while same < min(len(wanted), len(self.arranged)) and wanted[same] == self.arranged[same]:
            same += 1
        self.arranged = wanted
        return same
