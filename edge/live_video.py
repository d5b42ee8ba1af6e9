"""One question's frames of a live stream, kept so that any cloud can get the very same pictures."""

from __future__ import annotations

from dataclasses import replace

from common.errors import EngineError
from common.types import FrameName
from common.video import VideoHeader, VideoPacket
from edge.live_ring import LiveRing
from edge.runner import Video


class LiveVideo:
    """The frames that a question is about, and the packets that they can be decoded from.

    The cloud names them when it takes the session in; then they are pinned here, whatever else the stream's ring lets
    go. A cloud that has none of the stream is sent the window as it is here, and so named by the edge.
    """

    def __init__(self, ring: LiveRing, header: VideoHeader, count: int) -> None:
        self._ring = ring
        self._header = header
        self._count = count
        self._frames: tuple[FrameName, ...] = ()
        self._packets: tuple[VideoPacket, ...] = ()

    def pin(self, frames: tuple[FrameName, ...]) -> None:
        """The question is about these."""
        if frames != self._frames:
            self._frames = frames
            self._packets = self._ring.covering([name.number for name in frames])

    def choose(self, *, told: bool) -> tuple[FrameName, ...]:
        """The frames that `video` will have: those that are pinned, or else the newest window.

        Args:
            told: some of the answer is known already, so that it can't be about other frames any more.

        Raises:
            EngineError: it would have to be, or there are no frames at all.
        """
        if not self._packets and told:
            raise EngineError("the frames of this answer are gone, in the cloud and here: ask again")
        if not self._packets:
            self.pin(self._ring.looked_at(self._count))
        if not self._packets:
            raise EngineError("nothing has been seen yet: ask in a moment")
        return self._frames

    def video(self) -> Video:
        """A video of the chosen frames, that names them."""
        numbers = tuple(name.number for name in self._frames)
        header = replace(self._header, frames=len(self._packets), named=numbers, live=None, ahead=False)
        packets = self._packets
        return Video(header, lambda: packets)
