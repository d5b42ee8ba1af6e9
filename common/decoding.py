"""Decodes videos in child processes, which a flaw of a decoder may take down, but nothing else.

FFmpeg has never been free of flaws, and what it reads here comes from other machines. So this process hands packets to
a child (`common/limited_child.py`, `common/decoding_child.py`), and gets pictures back: cropped, and as bytes, from
which the last step of preprocessing is made here. No FFmpeg and no Pillow in this process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.child_pool import ChildPool
from common.decoding_wire import Opening, Work, Worked, decode_reply, encode_request
from common.errors import VideoFormatError
from common.limited_child import LimitedChild, Limits
from common.padding import Padding
from common.pixels import normalised
from common.replay import VideoTimes
from common.types import FrameName
from common.video import VideoHeader, VideoPacket
from common.video_limits import VideoLimits, check_header, check_live_header, wanted_frames

_ENTRY = "common.decoding_child:make"
# one request is some packets: what takes longer than this doesn't end, or isn't worth it
_LIMITS = Limits(memory_bytes=3 << 30, cpu_s=20, wall_s=60.0, reply_bytes=64 << 20, files=0)
_MOST_PACKETS = 64
_MOST_BYTES = 1 << 20
_MOST_PIXELS = 16 << 20


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


def decoding_children(places: int) -> ChildPool:
    """Children that decode: a new one for each video, so that none is left to the next; at most `places` at a time."""
    return ChildPool(_ENTRY, _LIMITS, error=VideoFormatError, places=places, once=True)


class DecodedVideo:
    """One video, decoded by a child. `work` blocks and belongs in a thread; takes as long as `replay` says, if given.

    Attributes:
        packets: those taken so far.
    """

    def __init__(
        self,
        header: VideoHeader,
        limits: VideoLimits | None = None,
        *,
        children: ChildPool,
        count: int,
        size: int,
        replay: VideoTimes | None = None,
        padding: Padding | None = None,
    ) -> None:
        """Prepare for a video; it gets its child when there is something to decode.

        Args:
            header: what it is.
            limits: what it may be.
            children: one of these decodes it.
            count: frames that the target looks at.
            size: side of a preprocessed frame.
            replay: times to pad decoding and preprocessing to; not of a live stream.
            padding: the waits for it.

        Raises:
            VideoFormatError: the header makes no sense, or is over a limit.
        """
        limits = limits or VideoLimits()
        check_header(header, limits)
        if header.live is not None:
            check_live_header(header)
        else:
            wanted_frames(header, limits, count)
        self.packets = 0
        self._opening = Opening(header, limits, count, size)
        self._slice = max(1, min(_MOST_PACKETS, _MOST_PIXELS // (header.width * header.height)))
        self._replay = replay
        self._padding = padding or Padding()
        self._children = children
        self._child: LimitedChild | None = None
        self._lock = threading.Lock()  # held while the child is at work
        self._stopped = False
        self._waiting: deque[VideoPacket] = deque()
        self._given: deque[VideoPacket] = deque()  # those that the child has and hasn't decoded
        self._ended = self._told_end = False
        self._sent = 0
        self._busy_s = 0.0

    def take(self, packets: Iterable[VideoPacket]) -> None:
        """Packets that came, to be decoded by the next `work`; none: the end."""
        before = len(self._waiting)
        self._waiting.extend(packets)
        self.packets += len(self._waiting) - before
        self._ended = self._ended or len(self._waiting) == before

    def work(self) -> tuple[FrameGroup | None, bool]:
        """Decode until there is a group of frames, or some packets are done.

        Returns:
            Frames, preprocessed, or None; and whether there is more to decode at once.

        Raises:
            VideoFormatError: the video is damaged, or isn't what its header says; or its child was lost over it.
            CapacityError: there is no child for it.
        """
        with self._lock:
            started = self._padding.now()
            packets = () if self._given else self._next_packets()
            ended = self._ended and not self._waiting and not self._told_end
            if not (packets or self._given or ended) or self._stopped:
                return None, False
            self._told_end = self._told_end or ended
            worked, shown = self._ask(Work(packets, ended))
            pixels = normalised(worked.crops) if len(worked.crops) else None
            self._busy_s += self._padding.wait(started, self._planned_ms(shown, len(worked.crops))) - started
            more = bool(self._given or self._waiting)
            if self._told_end and not more and self._opening.header.live is None:
                self._check_all_came(len(worked.crops))
            return self._group(pixels, worked.names), more

    def stop(self) -> None:
        """Nobody wants its frames any more: what is being decoded is given up. Any thread; returns at once."""
        self._stopped = True
        if (child := self._child) is not None and self._lock.locked():
            child.interrupt()

    def close(self) -> None:
        """Give the child back, once it has done what it is doing."""
        self._stopped = True
        with self._lock:
            child, self._child = self._child, None
            if child is not None:
                self._children.release(child)

    def _next_packets(self) -> tuple[VideoPacket, ...]:
        """The next packets for the child: few enough that others needn't wait for long."""
        packets, size = list[VideoPacket](), 0
        while self._waiting and len(packets) < self._slice and size < _MOST_BYTES:
            packet = self._waiting.popleft()
            packets.append(packet)
            size += len(packet.data)
        self._given.extend(packets)
        return tuple(packets)

    def _ask(self, work: Work) -> tuple[Worked, int]:
        """The child's answer, and how many packets with shown frames it has decoded."""
        if self._child is None:
            self._child = self._children.acquire()
            self._child.ask(*encode_request(self._opening))
        opening, before = self._opening, len(self._given)
        most = opening.count - self._sent if opening.header.live is None else before
        try:
            reply = self._child.ask(*encode_request(work))
            worked = decode_reply(reply, size=opening.size, most=most, before=before)
        except VideoFormatError:
            self._given.clear()
            self._waiting.clear()
            raise
        decoded = [self._given.popleft() for _ in range(before - worked.waiting)]
        return worked, sum(packet.shown for packet in decoded)

    def _check_all_came(self, last: int) -> None:
        if self._sent + last != self._opening.count:
            raise VideoFormatError("the video doesn't have all the frames that its header names")

    def _planned_ms(self, decoded: int, sampled: int) -> float:
        if self._replay is None:
            return 0.0
        share = decoded / self._opening.header.frames
        return self._replay.decode_share_ms(share) + self._replay.preprocess_frames_ms(sampled)

    def _group(self, pixels: NDArray[np.float32] | None, names: tuple[FrameName, ...]) -> FrameGroup | None:
        if pixels is None:
            return None
        group = FrameGroup(pixels, self._sent, self._busy_s, self._padding.overruns, names)
        self._sent += len(pixels)
        self._busy_s, self._padding.overruns = 0.0, 0
        return group
