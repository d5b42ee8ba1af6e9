"""A video's packets in, groups of preprocessed frames out: the target's first two stages, on either side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import VideoFormatError
from common.frames import clip_pixels
from common.padding import Padding
from common.replay import VideoTimes
from common.types import FrameName
from common.video import VideoHeader, VideoPacket
from common.video_decoding import Sampled, VideoDecoder, VideoLimits

_GROUP = 4  # frames: a larger group waits for its last frame, a smaller one costs the target a forward more


@dataclass(frozen=True, slots=True, eq=False)
class FrameGroup:
    """Frames that the target looks at, from the `first` on: `pixels` float32 [n, 3, size, size], and their `names`.

    `busy_s` is what decoding and preprocessing took since the last group, `overruns` how often that was longer than a
    replayed profile says.
    """

    pixels: NDArray[np.float32]
    first: int
    busy_s: float
    overruns: int = 0
    names: tuple[FrameName, ...] = ()


class FrameGroups:
    """Decodes one video; `work` blocks and belongs in a thread. Takes as long as `replay` says, if given.

    Attributes:
        packets: those taken so far.
    """

    def __init__(
        self,
        header: VideoHeader,
        limits: VideoLimits | None = None,
        *,
        count: int,
        size: int,
        replay: VideoTimes | None = None,
        padding: Padding | None = None,
    ) -> None:
        """Prepare for a video.

        Args:
            header: what it is.
            limits: what it may be.
            count: frames that the target looks at.
            size: side of a preprocessed frame.
            replay: times to pad decoding and preprocessing to.
            padding: the waits for it.

        Raises:
            VideoFormatError: the header makes no sense, or is over a limit.
        """
        self.packets = 0
        self._decoder = VideoDecoder(header, limits, count=count)
        self._size = size
        self._replay = replay
        self._padding = padding or Padding()
        self._sent = 0
        self._busy_s = 0.0
        self._shown = self._missing = header.frames  # packets with a shown frame that are still to come
        self._waiting: deque[VideoPacket] = deque()
        self._ended = False
        self._finished = False

    def take(self, packets: Iterable[VideoPacket]) -> None:
        """Packets that came, to be decoded by the next `work`; none: the end."""
        before = len(self._waiting)
        self._waiting.extend(packets)
        self.packets += len(self._waiting) - before
        self._ended = len(self._waiting) == before

    def work(self) -> tuple[FrameGroup | None, bool]:
        """Decode until there is a group of the target's frames, or nothing more to decode.

        Returns:
            Frames, preprocessed, or None; and whether there is more to decode at once.

        Raises:
            VideoFormatError: the video is damaged, or isn't what its header says.
        """
        started, missing = self._padding.now(), self._missing
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
        if self._ended:
            self._finish(sampled)
        pixels = clip_pixels([frame for _, frame in sampled], self._size) if sampled else None
        self._busy_s += self._padding.wait(started, self._planned_ms(missing - self._missing, len(sampled))) - started
        return self._group(pixels), bool(self._waiting)

    def _finish(self, sampled: Sampled) -> None:
        if not self._finished:
            self._finished = True
            sampled += self._decoder.finish()

    def _planned_ms(self, decoded: int, sampled: int) -> float:
        if self._replay is None:
            return 0.0
        share = max(0, decoded) / self._shown
        return self._replay.decode_share_ms(share) + self._replay.preprocess_frames_ms(sampled)

    def _group(self, pixels: NDArray[np.float32] | None) -> FrameGroup | None:
        if pixels is None:
            return None
        names = tuple(self._decoder.names[self._sent : self._sent + len(pixels)])
        group = FrameGroup(pixels, self._sent, self._busy_s, self._padding.overruns, names)
        self._sent += len(pixels)
        self._busy_s, self._padding.overruns = 0.0, 0
        return group
