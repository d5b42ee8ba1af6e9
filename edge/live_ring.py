"""What an edge keeps of a live stream, so that a cloud that lost it can get the very same pictures again. Pure.

Each picture is encoded once, ever: whoever decodes its packet behind those since the last keyframe gets the same
pixels. So packets are kept from the keyframe in front of the window on, and a while longer, since a cloud may name
frames of a window that is a little older than ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.live import LiveWindow
from common.types import FrameName
from common.video import VideoPacket

_WINDOWS = 3  # that are kept whole, the newest included
_KEYFRAMES = 2  # windows from one keyframe to the next, at most


def keyframe_due(number: int, window: LiveWindow) -> bool:
    """True if the picture of that number is a keyframe, so that old packets can go."""
    return number % (_KEYFRAMES * window.cells) == 0


class LiveRing:
    """The newest packets of a live stream; some windows' worth, at most as many as `_WINDOWS + _KEYFRAMES + 1` have."""

    def __init__(self, window: LiveWindow) -> None:
        self.window = window
        self._packets: list[VideoPacket] = []

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def newest(self) -> VideoPacket | None:
        """The newest packet."""
        return self._packets[-1] if self._packets else None

    def add(self, packet: VideoPacket) -> None:
        """A picture was taken and encoded."""
        self._packets.append(packet)
        begin = self.window.begin(packet.pts) - (_WINDOWS - 1) * self.window.length_us
        old = next(n for n, kept in enumerate(self._packets) if kept.pts >= begin)
        del self._packets[: self._keyframe_before(old)]

    def _keyframe_before(self, place: int) -> int:
        """The last place of a keyframe at or before `place`; the first one is a keyframe."""
        while place > 0 and not self._packets[place].keyframe:
            place -= 1
        return place

    @property
    def names(self) -> tuple[FrameName, ...]:
        """All pictures that are kept."""
        return tuple(FrameName(packet.index, packet.pts) for packet in self._packets)

    def looked_at(self, count: int) -> tuple[FrameName, ...]:
        """The pictures that a question would be about now; none if there are none."""
        names = self.names
        return tuple(names[place] for place in self.window.looked_at([name.time_us for name in names], count))

    def covering(self, numbers: Sequence[int]) -> tuple[VideoPacket, ...]:
        """The packets from which the pictures of these numbers can be decoded; none if they are gone."""
        places = {packet.index: place for place, packet in enumerate(self._packets)}
        if not numbers or any(number not in places for number in numbers):
            return ()
        return tuple(self._packets[self._keyframe_before(places[min(numbers)]) : places[max(numbers)] + 1])

    def following(self, number: int | None) -> VideoPacket | None:
        """The packet to be sent after that of `number` (None: the first one); None if it isn't there yet.

        A stream begins with what the window needs. One that has fallen back by more than a window goes on at the
        newest keyframe: what it left out nobody will ask about.
        """
        if not self._packets:
            return None
        if number is None:
            members = self.window.members([packet.pts for packet in self._packets])
            return self._packets[self._keyframe_before(members.start)]
        place = next((n for n, packet in enumerate(self._packets) if packet.index > number), None)
        if place is None:
            return None
        newest = self._keyframe_before(len(self._packets) - 1)
        if newest > place and len(self._packets) - place > self.window.cells:
            place = newest
        found = self._packets[place]
        return found if found.index == number + 1 or found.keyframe else self._packets[newest]
