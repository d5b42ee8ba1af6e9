"""Turns what comes on a video's stream into what the engine takes. Runs in decoding threads; no torch, no gRPC.

FFmpeg runs in neither: a child process decodes (`common/decoding.py`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cloud.messages import Frames, FrameSpec, LiveFrames
from cloud.pieces import FeatureJoiner, PacketJoiner
from common.child_pool import ChildPool
from common.decoding import DecodedVideo
from common.errors import LinkError, MessageError, MismatchError, VideoFormatError
from common.replay import VideoTimes
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from common.video_limits import VideoLimits

_FEW = 4  # frames' features that the engine gets in one message: it is copied on the front's loop


class Receiver(Protocol):
    """One session's video, as the service fills it; both run in a decoding thread, one at a time."""

    def take(self, items: tuple[Any, ...]) -> None:
        """What came; nothing: the end. Raises MessageError."""

    def work(self) -> tuple[Frames | LiveFrames | None, bool]:
        """What the engine shall get now, and whether there is more to do at once. Raises VideoFormatError."""

    def check_complete(self) -> None:
        """Raise LinkError if the stream ended too early."""

    def stop(self) -> None:
        """Nobody wants it any more: what is under way is given up. On any thread; returns at once."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """What a live stream's window may be, at most."""

    max_frames: int = 64


def receiver_for(
    header: VideoHeader | FeaturesHeader,
    limits: VideoLimits,
    spec: FrameSpec,
    children: ChildPool,
    replay: VideoTimes | None = None,
    live: LiveLimits | None = None,
) -> Receiver:
    """The receiver of a video that is announced so; one of the `children` decodes it.

    Raises:
        VideoFormatError: the video's header makes no sense, or is over a limit.
        MismatchError: the features are another target's.
    """
    if isinstance(header, FeaturesHeader):
        return FeatureReceiver(header, spec)
    if header.live is not None:
        return LiveReceiver(header, limits, spec, children, live or LiveLimits())
    return VideoReceiver(header, limits, spec, children, replay)


class FeatureReceiver:
    """Features that an edge encoded: checked and passed on, frame by frame."""

    def __init__(self, header: FeaturesHeader, spec: FrameSpec) -> None:
        """Prepare for features.

        Raises:
            MismatchError: they are another target's, or of another number of frames.
        """
        if not spec.vision_fingerprint or header.vision_fingerprint != spec.vision_fingerprint:
            raise MismatchError(
                "the edge's features are another model's, or of another precision, than this cloud's target: start "
                "the edge with --vision-model DIR of the same checkpoint, and the same --dtype"
            )
        if header.frames != spec.count:
            raise MismatchError(f"the target looks at {spec.count} frames, not {header.frames}: update the older side")
        self._spec = spec
        self._sent = self._received = 0
        self._waiting: deque[FrameFeatures] = deque()
        self._joiner = FeatureJoiner()

    def take(self, items: tuple[Any, ...]) -> None:
        """Features that came; none: the end."""
        spec = self._spec
        for item in items:
            if not isinstance(item, FrameFeatures):
                raise MessageError("packets follow the header of features: send either")
            if item.index != self._received or item.index >= spec.count:
                raise MessageError(f"features of frame {item.index} came where {self._received} was due")
            if (item.features.dtype, item.features.shape) != (spec.dtype, (spec.tokens, spec.hidden)):
                raise MessageError(
                    f"a frame's features must be {spec.dtype} {[spec.tokens, spec.hidden]}, "
                    f"not {item.features.dtype} {list(item.features.shape)}"
                )
            if (whole := self._joiner.join(item)) is not None:
                self._received += 1
                self._waiting.append(whole)

    def work(self) -> tuple[Frames | None, bool]:
        """What came since, a few frames at a time; and whether there are more."""
        if not self._waiting:
            return None, False
        few = [self._waiting.popleft() for _ in range(min(_FEW, len(self._waiting)))]
        rows = np.stack([np.frombuffer(item.features.data, dtype=np.uint8) for item in few])
        frames = Frames(rows, self._sent, encoded=True)
        self._sent += len(rows)
        return frames, bool(self._waiting)

    def check_complete(self) -> None:
        """Raise LinkError if the stream ended too early."""
        if self._received < self._spec.count:
            raise LinkError(f"the features ended after {self._received} of {self._spec.count} frames")

    def stop(self) -> None:
        """Nothing is ever under way for long."""

    def close(self) -> None:
        """It holds nothing."""


class _DecodedReceiver:
    """What receivers of videos share."""

    def __init__(
        self,
        header: VideoHeader,
        limits: VideoLimits,
        spec: FrameSpec,
        children: ChildPool,
        replay: VideoTimes | None = None,
    ) -> None:
        """Prepare for a video.

        Raises:
            VideoFormatError: the header makes no sense, or is over a limit.
        """
        self._video = DecodedVideo(header, limits, children=children, count=spec.count, size=spec.size, replay=replay)
        self._joiner = PacketJoiner(limits.max_packet_bytes)
        self._shown = header.frames

    def take(self, items: tuple[Any, ...]) -> None:
        """Packets that came; none: the end."""
        if not all(isinstance(item, VideoPacket) for item in items):
            raise MessageError("features follow the header of a video: send either")
        packets = self._joiner.join(items)
        if packets or not items:
            self._video.take(packets)

    def stop(self) -> None:
        """Give up what is being decoded."""
        self._video.stop()

    def close(self) -> None:
        """Give the child back."""
        self._video.close()


class VideoReceiver(_DecodedReceiver):
    """One video, decoded in groups of the target's frames; takes as long as `replay` says, if given."""

    def check_complete(self) -> None:
        """Raise LinkError if the stream ended too early."""
        if self._joiner.pending or self._video.packets < self._shown:
            raise LinkError(f"the video ended after {self._video.packets} of {self._shown} packets")

    def work(self) -> tuple[Frames | None, bool]:
        """The next group of frames, if there is one; and whether there is more to decode at once."""
        group, more = self._video.work()
        if group is None:
            return None, more
        decode_us = round(group.busy_s * 1e6)
        return Frames(group.pixels, group.first, decode_us, group.overruns, names=group.names), more


class LiveReceiver(_DecodedReceiver):
    """A live stream, decoded picture by picture; has no end, and is never complete."""

    def __init__(
        self, header: VideoHeader, limits: VideoLimits, spec: FrameSpec, children: ChildPool, live: LiveLimits
    ) -> None:
        """Prepare for a live stream.

        Raises:
            VideoFormatError: the header makes no sense, or is over a limit.
        """
        if header.live is not None and header.live.cells > live.max_frames:
            raise VideoFormatError(
                f"the live window has {header.live.cells} pictures, at most {live.max_frames} are taken: watch with a "
                "shorter window or fewer pictures a second"
            )
        super().__init__(header, limits, spec, children)

    def work(self) -> tuple[LiveFrames | None, bool]:
        """The next picture that counts; and whether there is more to decode at once."""
        group, more = self._video.work()
        return None if group is None else LiveFrames(group.pixels, group.names), more

    def check_complete(self) -> None:
        """A live stream may end whenever it does."""
