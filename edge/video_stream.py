"""A video as messages of the contract, each as large as the link's pacing wants it, and sent when there is room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import replace

from common import codec
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.pacing import FIRST_WINDOW, VideoInFlight, VideoPacer

_MOST_PACKETS = 512  # in a message; a cloud takes a few thousand
_FIRST_WORD_S = 1.0  # to wait for a cloud's first acknowledgement before a large packet, which it may take in pieces

Sent = Callable[[int, int], None]  # (frames, bytes) that a message carried


class PacedLink:
    """Waits for room on a link; shared by all its videos. Lives on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.pacer = VideoPacer()
        self._clock = clock
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    async def admit(self, stream: VideoInFlight, size: int) -> None:
        """Wait until a message of that size may go out, and count it. Streams take turns."""
        async with self._turn:
            while not self.pacer.may_send(size, self._clock()):
                await self._wait(1.0)
            self.pacer.sent(stream, size, self._clock())

    async def heard(self) -> bool:
        """Whether this cloud acknowledges messages; waits a moment for the first."""
        deadline = self._clock() + _FIRST_WORD_S
        while not self.pacer.heard and (left := deadline - self._clock()) > 0:
            await self._wait(left)
        return self.pacer.heard

    def acknowledged(self, stream: VideoInFlight, received: int) -> None:
        """The cloud has that many of a stream's bytes."""
        self.pacer.acknowledged(stream, received, self._clock())
        self._changed.set()

    def forget(self, stream: VideoInFlight) -> None:
        """A stream is over."""
        self.pacer.forget(stream)
        self._changed.set()

    async def _wait(self, seconds: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return


async def paced_messages(
    video_id: str,
    header: VideoHeader,
    packets: AsyncIterable[VideoPacket],
    link: PacedLink,
    stream: VideoInFlight,
    *,
    gather: bool,
    sent: Sent = lambda frames, size: None,
) -> AsyncIterator[bytes]:
    """A video's messages, each when it may go out.

    Args:
        video_id: of the session or clip.
        header: of the video.
        packets: in decoding order.
        link: where it goes.
        stream: the books of this stream.
        gather: True: small packets share a message, the header rides with the first. False: each goes as it comes.
        sent: hears of each message's packets that are shown, and bytes.
    """
    header = replace(header, acknowledge=True)
    named, batch, size = False, list[VideoPacket](), 0

    async def message() -> bytes:
        nonlocal named, batch, size
        data = codec.encode_video_packets(batch) if named else codec.encode_video_header(video_id, header, batch)
        await link.admit(stream, len(data))
        sent(sum(packet.shown and not packet.continued for packet in batch), len(data))
        named, batch, size = True, [], 0
        return data

    if not gather:
        yield await message()
    async for packet in packets:
        in_pieces = link.pacer.heard or (len(packet.data) > FIRST_WINDOW and named and await link.heard())
        for piece in _pieces(packet, link.pacer) if in_pieces else (packet,):
            batch.append(piece)
            size += len(piece.data)
            if not gather or size >= link.pacer.fragment or len(batch) >= _MOST_PACKETS:
                yield await message()
    if batch or not named:
        yield await message()


def _pieces(packet: VideoPacket, pacer: VideoPacer) -> Iterable[VideoPacket]:
    """The packet, or parts of it, each as large as a message should be when it is its turn."""
    start, size = 0, len(packet.data)
    while True:
        end = min(size, start + pacer.fragment)
        yield (
            packet if (start, end) == (0, size) else replace(packet, data=packet.data[start:end], continued=end < size)
        )
        if end == size:
            return
        start = end


async def paced_features(
    session_id: str,
    header: FeaturesHeader,
    features: AsyncIterable[FrameFeatures],
    link: PacedLink,
    stream: VideoInFlight,
) -> AsyncIterator[bytes]:
    """A video's features as messages, each when it may go out; to a cloud that acknowledges, in pieces."""

    async def admitted(data: bytes) -> bytes:
        await link.admit(stream, len(data))
        return data

    yield await admitted(codec.encode_features_header(session_id, replace(header, acknowledge=True)))
    in_pieces: bool | None = None
    async for frame in features:
        in_pieces = await link.heard() if in_pieces is None else in_pieces
        if not in_pieces:
            yield await admitted(codec.encode_features((frame,)))
            continue
        data, start = frame.features.data, 0
        while start < len(data):
            end = min(len(data), start + link.pacer.fragment)
            piece = replace(frame, features=replace(frame.features, data=data[start:end]), size=len(data))
            yield await admitted(codec.encode_features((piece,)))
            start = end
