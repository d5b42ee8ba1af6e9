"""What a decoding child does (`common/decoding.py`): one video after another, each in groups of cropped frames."""

from __future__ import annotations

import resource
from collections.abc import Callable

import numpy as np

from common.decoding_wire import Buffers, Opening, Worked, decode_request, encode_reply
from common.errors import InputError, VideoFormatError
from common.frame_groups import Groups, frame_groups
from common.frames import clip_crops
from common.video import VideoHeader
from common.video_decoding import open_decoder, rgb
from common.video_limits import DECODERS, VideoLimits

_LEAST_MEMORY = 768 << 20  # bytes of address space: libraries, and small pictures
_MEMORY_PER_PIXEL = 96  # bytes: pictures that a decoder keeps for reference, those that wait, and their RGB copies


def make() -> Callable[[bytes], Buffers]:
    """Load the decoder; returns what answers requests."""
    import av

    av.logging.set_level(av.logging.PANIC)
    for codec in DECODERS:  # what decoders, Pillow and FFmpeg's scaler set up at their first picture is shared then
        open_decoder(VideoHeader(codec, b"", 16, 16, 1, 1, 1), VideoLimits()).open()
    clip_crops([rgb(av.VideoFrame(16, 16, "yuv420p"))], 4)
    return DecodingChild().answer


class DecodingChild:
    """The video that is being decoded."""

    def __init__(self) -> None:
        self._groups: Groups | None = None
        self._size = 0

    def answer(self, data: bytes) -> Buffers:
        """The reply to a request.

        Raises:
            VideoFormatError: the video is damaged, or isn't what its header says.
        """
        request = decode_request(data)
        if isinstance(request, Opening):
            header, self._size = request.header, request.size
            _limit_memory(header.width * header.height)
            self._groups = frame_groups(header, request.limits, count=request.count, size=request.size)
            return encode_reply(None)
        assert self._groups is not None
        try:
            self._groups.take(request.packets, ended=request.ended)
            group = self._groups.work()
        except InputError as error:
            self._groups = None
            raise VideoFormatError(str(error)) from error
        if group is None:
            nothing = np.empty((0, self._size, self._size, 3), np.uint8)
            return encode_reply(Worked(nothing, (), self._groups.waiting))
        return encode_reply(Worked(group.crops, group.names, self._groups.waiting))


def _limit_memory(pixels: int) -> None:
    """Of a video with frames of so many pixels; never more than the child's own limit."""
    wanted, hard = _LEAST_MEMORY + _MEMORY_PER_PIXEL * pixels, resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
