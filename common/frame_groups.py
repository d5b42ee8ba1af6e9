"""A video's packets in, groups of cropped frames out: the target's first two stages, as a decoding child does them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.errors import VideoFormatError
from common.frames import clip_crops
from common.live_decoding import LiveDecoder
from common.types import FrameName
from common.video import VideoHeader, VideoPacket
from common.video_decoding import Sampled, VideoDecoder
from common.video_limits import VideoLimits

_GROUP = 4  # frames: a larger group waits for its last frame, a smaller one costs the target a forward more


@dataclass(frozen=True, slots=True, eq=False)
class CroppedGroup:
    """Frames that the target looks at: `crops` uint8 [n, size, size, 3], and their `names`."""

    crops: NDArray[np.uint8]
    names: tuple[FrameName, ...]


class Groups(Protocol):
    """One video that is decoded in groups."""

    @property
    def waiting(self) -> int:
        """Packets that have come and aren't decoded."""

    def take(self, packets: Iterable[VideoPacket], *, ended: bool = False) -> None:
        """Packets that came, to be decoded by the next `work`. `ended`: none follow."""

    def work(self) -> CroppedGroup | None:
        """Decode until there is a group of frames, or nothing more to decode. Raises VideoFormatError."""


def frame_groups(header: VideoHeader, limits: VideoLimits, *, count: int, size: int) -> Groups:
    """The groups of a video of that kind; `count` frames are looked at, `size` is a cropped frame's side.

    Raises:
        VideoFormatError: the header makes no sense, or is over a limit.
    """
    if header.live is not None:
        return LiveGroups(header, limits, size=size)
    return FrameGroups(header, limits, count=count, size=size)


class FrameGroups:
    """A video that has an end."""

    def __init__(self, header: VideoHeader, limits: VideoLimits | None = None, *, count: int, size: int) -> None:
        """As `frame_groups`."""
        self._decoder = VideoDecoder(header, limits, count=count)
        self._size = size
        self._sent = 0
        self._shown = self._missing = header.frames  # packets with a shown frame that are still to come
        self._waiting: deque[VideoPacket] = deque()
        self._ended = False
        self._finished = False

    @property
    def waiting(self) -> int:
        """Packets that have come and aren't decoded."""
        return len(self._waiting)

    def take(self, packets: Iterable[VideoPacket], *, ended: bool = False) -> None:
        """Packets that came, to be decoded by the next `work`. `ended`: none follow."""
        self._waiting.extend(packets)
        self._ended = self._ended or ended

    def work(self) -> CroppedGroup | None:
        """Decode until there is a group of the target's frames, or nothing more to decode.

        Raises:
            VideoFormatError: the video is damaged, or isn't what its header says.
        """
        sampled: Sampled = []
        while self._waiting and not self._finished and len(sampled) < _GROUP:
            packet = self._waiting.popleft()
            self._missing -= packet.shown
            sampled += self._decoder.push(packet)
            # the last shown packet is as good as the end: its frames ride with the others'
            if self._missing <= 0:
                self._finish(sampled)
        if self._finished:
            if any(packet.shown for packet in self._waiting):
                raise VideoFormatError(f"the video has more than the {self._shown} frames that its header says")
            self._waiting.clear()
        if self._ended and not self._waiting:
            self._finish(sampled)
        if not sampled:
            return None
        names = tuple(self._decoder.names[self._sent : self._sent + len(sampled)])
        self._sent += len(sampled)
        return CroppedGroup(clip_crops([frame for _, frame in sampled], self._size), names)

    def _finish(self, sampled: Sampled) -> None:
        if not self._finished:
            self._finished = True
            sampled += self._decoder.finish()


class LiveGroups:
    """A live stream: each picture that counts comes at once."""

    def __init__(self, header: VideoHeader, limits: VideoLimits | None = None, *, size: int) -> None:
        """As `frame_groups`."""
        self._decoder = LiveDecoder(header, limits)
        self._size = size
        self._waiting: deque[VideoPacket] = deque()

    @property
    def waiting(self) -> int:
        """Packets that have come and aren't decoded."""
        return len(self._waiting)

    def take(self, packets: Iterable[VideoPacket], *, ended: bool = False) -> None:
        """Packets that came, to be decoded by the next `work`. A live stream may end whenever it does."""
        self._waiting.extend(packets)

    def work(self) -> CroppedGroup | None:
        """The next picture that counts.

        Raises:
            VideoFormatError: the stream is damaged, or isn't what its header says.
        """
        while self._waiting:
            pictures = self._decoder.push(self._waiting.popleft())
            if pictures:
                names = tuple(name for name, _ in pictures)
                return CroppedGroup(clip_crops([picture for _, picture in pictures], self._size), names)
        return None
