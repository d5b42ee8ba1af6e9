"""Decodes a live stream as its packets arrive: one picture a packet, at once, and no end that is known.

As with any video, packets come from another machine: everything is checked before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import VideoFormatError
from common.live import MICROSECONDS, Sampler
from common.types import LARGEST, FrameName
from common.video import check_times
from common.video_decoding import (
    Gaps,
    check_frame,
    check_order,
    check_size,
    encoded_packet,
    open_decoder,
    rgb,
    time_us,
)
from common.video_limits import VideoLimits, check_header, check_live_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from common.video import VideoHeader, VideoPacket

_LOW_DELAY = 0x80000  # FFmpeg's flag: give each picture out at once


class LiveDecoder:
    """One live stream, or a part of it. After a `VideoFormatError` it is of no more use.

    Only the first picture of each cell of the stream's window comes out; a stream that follows the law has no others.
    """

    def __init__(self, header: VideoHeader, limits: VideoLimits | None = None) -> None:
        """Prepare for the packets of a live stream.

        Raises:
            VideoFormatError: the codec isn't taken, or the header makes no sense or is over a limit.
        """
        assert header.live is not None
        self._limits = limits or VideoLimits()
        check_header(header, self._limits)
        check_live_header(header)
        self._header = header
        self._sampler = Sampler(header.live)
        self._context = open_decoder(header, self._limits)
        self._context.flags |= _LOW_DELAY
        self._last = -1
        self._last_us = -1

    def push(self, packet: VideoPacket) -> list[tuple[FrameName, NDArray[np.uint8]]]:
        """Decode a packet; the pictures that count, RGB uint8 [H, W, 3].

        Raises:
            VideoFormatError: the packet is damaged, out of order or over a limit.
        """
        import av

        self._check(packet)
        try:
            decoded = self._context.decode(encoded_packet(packet))
        except (av.FFmpegError, ValueError, OSError, EOFError) as error:
            raise VideoFormatError(f"the stream can't be decoded at frame {packet.index}: {error}") from error
        pictures = []
        for frame in decoded:
            check_frame(frame, frame.opaque, self._header)
            name = FrameName(frame.opaque, time_us(self._header, frame.pts))
            if self._sampler.take(name.time_us):
                pictures.append((name, rgb(frame)))
        return pictures

    def _check(self, packet: VideoPacket) -> None:
        check_order(packet, self._last, gaps=Gaps.AT_KEYFRAMES)
        check_size(packet, self._limits)
        if not self._last_us < packet.pts <= LARGEST:
            raise VideoFormatError(f"frame {packet.index} of a live stream was taken at no time that can be")
        check_times(packet, *MICROSECONDS)
        self._last, self._last_us = packet.index, packet.pts
