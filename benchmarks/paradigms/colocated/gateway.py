"""The cloud's side of the co-located baseline: a daemon with the drafter, next to the target's daemon.

It is the edge daemon's own drafter, session and runner (`edge/`), fed from an upload instead of from files, and joined
to the target over loopback. Video messages are passed on as they arrive, so the target decodes while they still come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from benchmarks.paradigms.colocated.wire import SERVICE, PictureSpec, decode_opening
from common import codec
from common.ask import Answer, AskRequest
from common.errors import EventSpecError, MessageError
from common.rpc import abort
from common.sealing import Callee
from common.server import DaemonServer, run_daemon
from common.video import VideoHeader, VideoPacket
from edge.answering import Answering
from edge.config import EdgeSettings
from edge.drafter_model import DrafterModel
from edge.link import GrpcLink, LinkSettings, Packets
from edge.pacing import VideoInFlight
from edge.runner import Video
from edge.stages import Stages
from edge.worker import DraftingThread

if TYPE_CHECKING:
    from numpy.typing import NDArray


class UploadedVideo:
    """A video on its way up: its header, and its messages as they arrive. Can be passed on again from the start.

    It stands where the edge's own code has a clip's packets; only `GatewayLink` looks into it.
    """

    def __init__(self, header: VideoHeader, first: Sequence[VideoPacket]) -> None:
        self.header = header
        self._first = first
        self._messages: list[bytes] = []
        self._complete = False
        self._changed = asyncio.Condition()

    def __iter__(self) -> Iterator[VideoPacket]:
        raise AssertionError("an upload is passed on, not read")

    async def take_in(self, requests: AsyncIterator[bytes]) -> None:
        """Gather messages until the upload ends."""
        async for data in requests:
            await self._add(data)
        await self._add(None)

    async def _add(self, data: bytes | None) -> None:
        async with self._changed:
            if data is None:
                self._complete = True
            else:
                self._messages.append(data)
            self._changed.notify_all()

    async def messages(self, session_id: str) -> AsyncIterator[bytes]:
        """As `StreamVideo` takes them."""
        yield codec.encode_video_header(session_id, self.header, self._first)
        sent = 0
        while (data := await self._message(sent)) is not None:
            sent += 1
            yield data

    async def _message(self, number: int) -> bytes | None:
        """That message, when it is here; None if the video ends before it."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._messages) > number or self._complete)
        return self._messages[number] if number < len(self._messages) else None


class GatewayLink(GrpcLink):
    """The way to the target's daemon, on which uploads are passed on."""

    async def send_video(self, session_id: str, header: VideoHeader, packets: Packets) -> int:
        """Pass an upload on."""
        assert isinstance(packets, UploadedVideo)
        unpaced = VideoInFlight()  # it has crossed the link already
        return await self._send_video(packets.messages(session_id), unpaced)


class UploadedAnswering(Answering):
    """Answers from an upload instead of from files."""

    def __init__(self, *arguments: Any, pictures: list[NDArray[Any]], video: UploadedVideo, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._pictures = pictures
        self._uploaded = video

    async def _event_frames(self, ask: AskRequest, stages: Stages) -> list[NDArray[Any]]:
        return self._pictures

    async def _open_video(self, ask: AskRequest, stages: Stages) -> Video:
        return Video(self._uploaded.header, lambda: self._uploaded)


class GatewayDaemon:
    """The gateway's process."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._thread = DraftingThread()
        self._files = ThreadPoolExecutor(max_workers=1)
        self._link = GatewayLink(LinkSettings(settings.cloud, settings.max_message_bytes))
        self._server = DaemonServer(codec.EDGE_SERVICE, settings.max_message_bytes, settings.security)
        self._drafter: DrafterModel | None = None
        self.address = ""

    async def start(self) -> None:
        """Load the drafter and listen."""
        from edge.loading import load_drafter

        self._drafter = await self._thread.run(load_drafter, self._settings)
        handlers = grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Describe": grpc.unary_unary_rpc_method_handler(self.describe),
                "Ask": grpc.stream_stream_rpc_method_handler(self.ask),
            },
        )
        self.address = await self._server.start(handlers, self._settings.listen)

    @property
    def _model(self) -> DrafterModel:
        assert self._drafter is not None
        return self._drafter

    async def describe(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """How the drafter wants its pictures."""
        config = self._model.model.config
        return PictureSpec(config.frames, config.window_us, config.canvas == "sensor").encode()

    async def ask(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """One question with its sensor data; the answer streams, the report comes last."""
        incoming, start = aiter(requests), Callee(f"/{SERVICE}/Ask").start
        try:
            ask, pictures = decode_opening(await anext(incoming))
            _, header, first = codec.decode_video_message(await anext(incoming))
            if not isinstance(header, VideoHeader):
                raise MessageError("the video begins with its header")
            video = UploadedVideo(header, [packet for packet in first if isinstance(packet, VideoPacket)])
            reader = asyncio.create_task(video.take_in(incoming))
            try:
                async for data in self._answer(codec.decode_ask(ask), pictures, video):
                    yield data
            finally:
                reader.cancel()
        except EventSpecError as error:
            await abort(context, error, start)
        except StopAsyncIteration:
            await abort(context, MessageError("the upload ended before the video's header"), start)

    async def _answer(
        self, ask: AskRequest, pictures: list[NDArray[Any]], video: UploadedVideo
    ) -> AsyncIterator[bytes]:
        answering = UploadedAnswering(
            self._settings,
            drafter=self._model,
            link=self._link,
            thread=self._thread,
            files=self._files,
            pictures=pictures,
            video=video,
        )
        async with contextlib.aclosing(answering.answer(ask)) as events:
            committed = ""
            async for event in events:
                if isinstance(event, Answer):  # what is provisional here needn't travel
                    if event.committed_text == committed:
                        continue
                    committed = event.committed_text
                    event = Answer(committed, "", event.at_ms)
                yield codec.encode_ask_event(event)

    async def stop(self) -> None:
        """End everything."""
        await self._server.stop(self._settings.grace_s)
        await self._link.close()
        self._thread.close()
        self._files.shutdown(wait=False, cancel_futures=True)


async def serve(settings: EdgeSettings) -> None:
    """Run until SIGINT or SIGTERM. Prints one line when ready."""
    await run_daemon(GatewayDaemon(settings), "gateway")
