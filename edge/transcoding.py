"""A clip of known length, of which only the frames go up that the target looks at, encoded anew.

The cloud is told their numbers, and takes them as they are: an answer is the target's own on the frames that the cloud
decoded. `jpeg` frames stand alone, `h264` ones are predicted from each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from common.errors import PromptError
from common.video import VIDEO_FRAMES, VideoHeader, VideoPacket
from common.video_sampling import sampled_indices
from edge.encoding import CODECS, EncoderSettings, PictureEncoder
from edge.video import Clip

COPY = "copy"


def check_codec(codec: str) -> None:
    """Raise PromptError if a request's `video_codec` isn't one that a clip can go up with."""
    if codec not in ("", COPY, *CODECS):
        raise PromptError(f"a clip goes up as {COPY}, {' or '.join(CODECS)}, not {codec[:40]!r}")


def encoding_of(codec: str) -> str:
    """How a clip is encoded anew for a request's `video_codec`; "" if it isn't."""
    return "" if codec == COPY else codec


@dataclass(frozen=True, slots=True)
class SampledClip:
    """The sampled frames of a clip. Reading them decodes and encodes, and so belongs in a thread.

    `kbps`: what a second of H.264 may take; a picture takes at most that.
    """

    clip: Clip
    codec: str
    kbps: int = 2000

    @property
    def numbers(self) -> tuple[int, ...]:
        """The frames that the target looks at; some come twice if the clip has few."""
        return tuple(sampled_indices(self.clip.header.frames, VIDEO_FRAMES))

    @property
    def header(self) -> VideoHeader:
        """What goes up."""
        own = self._encoder().header
        return replace(own, frames=len(set(self.numbers)), named=self.numbers)

    def _encoder(self) -> PictureEncoder:
        settings = EncoderSettings(self.codec, Fraction(1), self.kbps, refresh=VIDEO_FRAMES)
        return PictureEncoder(self.clip.header.width, self.clip.header.height, settings)

    def recorded(self) -> Iterator[tuple[float, VideoPacket]]:
        """The packets, each with the moment at which its picture has been taken, in seconds.

        Raises:
            VideoFormatError: the clip is damaged, or can't be encoded.
        """
        encoder, wanted = self._encoder(), set(self.numbers)
        first = previous = 0.0
        for number, frame in enumerate(self.clip.pictures()):
            at = float(frame.time or 0.0)
            first = at if number == 0 else first
            if number in wanted:
                taken_s = at - first + (at - previous if number else 0.0)  # an exposure ends when the next one begins
                yield taken_s, encoder.encode(frame, number, round(at * 1e6))
            previous = at
