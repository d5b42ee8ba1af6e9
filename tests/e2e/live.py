"""An edge in this process that watches live, and remembers every packet that it sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ask import AskRequest, Mode, Report, WatchRequest, WatchState
from common.shipped import shipped_drafter
from common.types import SamplingParams
from common.video import VideoHeader, VideoPacket
from common.video_decoding import VideoDecoder
from edge.answering import Answering
from edge.config import EdgeSettings
from edge.drafter_model import DrafterModel
from edge.link import GrpcLink, LinkSettings
from edge.video_stream import Sent
from edge.worker import DraftingThread


class RememberingLink(GrpcLink):
    """A link that keeps what goes up in live streams."""

    def __init__(self, address: str) -> None:
        super().__init__(LinkSettings(address))
        self.header: VideoHeader | None = None
        self.packets: dict[int, VideoPacket] = {}
        self.videos = 0
        self.sent: list[tuple[VideoHeader, list[VideoPacket]]] = []

    async def stream_video(
        self, clip_id: str, header: VideoHeader, packets: AsyncIterable[VideoPacket], sent: Sent
    ) -> int:
        async def remembered() -> AsyncIterator[VideoPacket]:
            async for packet in packets:
                known = self.packets.setdefault(packet.index, packet)
                assert known == packet, "a picture was encoded twice"
                yield packet

        self.header = header
        return await super().stream_video(clip_id, header, remembered(), sent)

    async def send_video(self, session_id: str, header: VideoHeader, packets: Any) -> int:
        self.videos += 1
        kept: list[VideoPacket] = []
        self.sent.append((header, kept))

        async def remembered() -> AsyncIterator[VideoPacket]:
            async for packet in as_async(packets):
                kept.append(packet)
                yield packet

        return await super().send_video(session_id, header, remembered())

    def pictures(self, numbers: list[int]) -> list[NDArray[np.uint8]]:
        """The very frames that the cloud decoded: of the video that was sent for them, or of the whole stream.

        While the cloud is gone the stream has gaps, and frames of that time go up in a video alone.
        """
        for header, packets in reversed(self.sent):
            if header.named == tuple(numbers):
                return decoded(header, packets)
        assert self.header is not None
        upto = [packet for index, packet in sorted(self.packets.items()) if index <= max(numbers)]
        header = replace(self.header, live=None, ahead=False, frames=len(upto), named=tuple(numbers))
        return decoded(header, upto)


def decoded(header: VideoHeader, packets: list[VideoPacket]) -> list[NDArray[np.uint8]]:
    """The frames that a header names, in order."""
    decoder = VideoDecoder(header, count=len(header.named))
    sampled = [one for packet in packets for one in decoder.push(packet)] + decoder.finish()
    return [picture for _, picture in sorted(sampled, key=lambda one: one[0])]


async def as_async(packets: Any) -> AsyncIterator[VideoPacket]:
    """Packets one after another, from either kind of iterable."""
    if isinstance(packets, AsyncIterable):
        async for packet in packets:
            yield packet
    else:
        for packet in packets:
            yield packet


@dataclass
class LiveEdge:
    """Answers questions about one live watch."""

    answering: Answering
    link: RememberingLink
    states: list[WatchState] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def watch(self) -> str:
        return self.states[-1].watch

    async def follow(self, request: WatchRequest) -> None:
        async with contextlib.aclosing(self.answering.watch(request)) as states:
            async for state in states:
                async with self._changed:
                    self.states.append(state)
                    self._changed.notify_all()

    async def until(self, wanted: Any) -> WatchState:
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: bool(self.states) and wanted(self.states[-1]))
        return self.states[-1]

    async def ask(
        self, question: str, mode: Mode = Mode.STREAM_TO_CLOUD, sampling: SamplingParams | None = None, **more: Any
    ) -> dict[str, Any]:
        ask = AskRequest(question, mode=mode, watch=self.watch, sampling=sampling or SamplingParams(), **more)
        async with asyncio.timeout(90):
            async for event in self.answering.answer(ask):
                if isinstance(event, Report):
                    return event.values
        raise AssertionError("no report")


_model: list[DrafterModel] = []


def drafter_model() -> DrafterModel:
    """The shipped drafter, loaded once."""
    if not _model:
        from edge.loading import load_drafter

        _model.append(load_drafter(EdgeSettings(model=str(shipped_drafter()))))
    return _model[0]


@contextlib.asynccontextmanager
async def live_edge(cloud: str, request: WatchRequest, **settings: Any) -> AsyncIterator[LiveEdge]:
    """An edge that watches, as long as the block runs."""
    thread, files = DraftingThread(), ThreadPoolExecutor(2)
    link = RememberingLink(cloud)
    own = EdgeSettings(cloud=cloud, **settings)
    answering = Answering(own, drafter=drafter_model(), link=link, thread=thread, files=files)
    edge = LiveEdge(answering, link)
    following = asyncio.create_task(edge.follow(request))
    try:
        yield edge
    finally:
        following.cancel()
        done = await asyncio.gather(following, return_exceptions=True)
        await link.close()
        thread.close()
        files.shutdown()
        assert isinstance(done[0], asyncio.CancelledError), done
