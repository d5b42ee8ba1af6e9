"""Turns what comes on a video's stream into what the engine takes. Runs in decoding threads; no torch, no gRPC."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cloud.messages import Frames, FrameSpec
from cloud.video import Sampled, VideoDecoder, VideoLimits
from common.errors import LinkError, MessageError, MismatchError, VideoFormatError
from common.frames import clip_pixels
from common.padding import Padding
from common.replay import VideoTimes
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GROUP = 4  # frames: a larger group waits for its last frame, a smaller one costs the target a forward more


class Receiver(Protocol):
    """One session's video, as the service fills it; `work` runs in a decoding thread."""

    def take(self, items: tuple[Any, ...]) -> None:
        """What came; nothing: the end. Raises MessageError."""

    def work(self) -> tuple[Frames | None, bool]:
        """What the engine shall get now, and whether there is more to do at once. Raises VideoFormatError."""

    def check_complete(self) -> None:
        """Raise LinkError if the stream ended too early."""


def receiver_for(
    header: VideoHeader | FeaturesHeader, limits: VideoLimits, spec: FrameSpec, replay: VideoTimes | None = None
) -> Receiver:
    """The receiver of a video that is announced so.

    Raises:
        VideoFormatError: the video's header makes no sense, or is over a limit.
        MismatchError: the features are another target's.
    """
    if isinstance(header, FeaturesHeader):
        return FeatureReceiver(header, spec)
    return VideoReceiver(header, limits, spec, replay)


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
        self._waiting: list[FrameFeatures] = []

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
            self._received += 1
            self._waiting.append(item)

    def work(self) -> tuple[Frames | None, bool]:
        """All that came since."""
        if not self._waiting:
            return None, False
        rows = np.stack([np.frombuffer(item.features.data, dtype=np.uint8) for item in self._waiting])
        frames = Frames(rows, self._sent, encoded=True)
        self._sent += len(rows)
        self._waiting = []
        return frames, False

    def check_complete(self) -> None:
        """Raise LinkError if the stream ended too early."""
        if self._received < self._spec.count:
            raise LinkError(f"the features ended after {self._received} of {self._spec.count} frames")


class VideoReceiver:
    """Decodes one video; `work` runs in a decoding thread, and takes as long as `replay` says, if given."""

    def __init__(
        self, header: VideoHeader, limits: VideoLimits, spec: FrameSpec, replay: VideoTimes | None = None
    ) -> None:
        """Prepare for a video.

        Raises:
            VideoFormatError: the header makes no sense, or is over a limit.
        """
        self._packets = 0
        self._decoder = VideoDecoder(header, limits, count=spec.count)
        self._size = spec.size
        self._replay = replay
        self._padding = Padding()
        self._sent = 0
        self._busy_s = 0.0
        self._shown = self._missing = header.frames  # packets with a shown frame that are still to come
        self._waiting: deque[VideoPacket] = deque()
        self._ended = False
        self._finished = False

    def take(self, items: tuple[Any, ...]) -> None:
        """Packets that came; none: the end."""
        if not all(isinstance(item, VideoPacket) for item in items):
            raise MessageError("features follow the header of a video: send either")
        self._packets += len(items)
        self._waiting.extend(items)
        self._ended = not items

    def check_complete(self) -> None:
        """Raise LinkError if the stream ended too early."""
        if self._packets < self._shown:
            raise LinkError(f"the video ended after {self._packets} of {self._shown} packets")

    def work(self) -> tuple[Frames | None, bool]:
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
        if self._finished and any(packet.shown for packet in self._waiting):
            raise VideoFormatError(f"the video has more than the {self._shown} frames that its header says")
        if self._ended:
            self._finish(sampled)
        pixels = clip_pixels([frame for _, frame in sampled], self._size) if sampled else None
        self._busy_s += self._padding.wait(started, self._planned_ms(missing - self._missing, len(sampled))) - started
        return self._frames(pixels), bool(self._waiting) and not self._finished

    def _finish(self, sampled: Sampled) -> None:
        if not self._finished:
            self._finished = True
            sampled += self._decoder.finish()

    def _planned_ms(self, decoded: int, sampled: int) -> float:
        if self._replay is None:
            return 0.0
        share = max(0, decoded) / self._shown
        return self._replay.decode_share_ms(share) + self._replay.preprocess_frames_ms(sampled)

    def _frames(self, pixels: NDArray[np.float32] | None) -> Frames | None:
        if pixels is None:
            return None
        frames = Frames(pixels, self._sent, round(self._busy_s * 1e6), self._padding.overruns)
        self._sent += len(pixels)
        self._busy_s, self._padding.overruns = 0.0, 0
        return frames
