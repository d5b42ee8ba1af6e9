"""The edge's side of the co-located baseline: reads the files, uploads, times the answer by the edge's clock.

It has the edge daemon's own `Ask` call, so that a benchmark asks both alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from benchmarks.paradigms.colocated.timing import Timing, Upload
from benchmarks.paradigms.colocated.wire import SERVICE, PictureSpec, encode_opening
from common import codec
from common.ask import Answer, AskEvent, AskRequest, Report
from common.errors import PromptError
from common.replay import load_profile
from common.rpc import channel_options, error_of_status
from common.sealing import Caller
from common.server import DaemonServer, run_daemon
from common.video import VideoPacket
from edge.service import EdgeService
from edge.stages import Stages
from edge.video import Clip, open_clip

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_MESSAGE_BYTES = 64 << 20
_VIDEO_MESSAGE_BYTES = 64 << 10


class ColocatedAnswers:
    """Answers by asking the gateway."""

    def __init__(self, gateway: str, replay: str = "") -> None:
        self._replay = load_profile(replay) if replay else None
        self._channel = grpc.aio.insecure_channel(gateway, options=channel_options(_MAX_MESSAGE_BYTES))
        self._files = ThreadPoolExecutor(max_workers=2)
        self._spec: PictureSpec | None = None

    async def start(self) -> None:
        """Learn how the drafter wants its pictures."""
        from edge.events import warm_up

        try:
            reply = await self._channel.unary_unary(f"/{SERVICE}/Describe")(b"", timeout=30.0, wait_for_ready=True)
        except grpc.RpcError as error:
            raise error_of_status(error, Caller(f"/{SERVICE}/Describe")) from error
        self._spec = PictureSpec.decode(reply)
        await asyncio.get_running_loop().run_in_executor(self._files, warm_up)

    async def answer(self, ask: AskRequest) -> AsyncGenerator[AskEvent, None]:
        """Answer one question; the last event is its report.

        Raises:
            InputError: the question or a file is at fault.
            EventSpecError: there is no answer, and why.
        """
        if not ask.events_path or not ask.video_path:
            raise PromptError("the co-located baseline needs an event recording and a video")
        timing, stages = Timing(time.monotonic), Stages(self._replay)
        loop = asyncio.get_running_loop()
        pictures, clip = await asyncio.gather(
            loop.run_in_executor(self._files, self._pictures, ask, stages),
            loop.run_in_executor(self._files, _clip, ask, stages),
        )
        upload = Upload(timing)
        call = self._channel.stream_stream(f"/{SERVICE}/Ask")(self._messages(ask, pictures, clip, upload))
        try:
            async for data in call:
                timing.received(len(data))
                event = codec.decode_ask_event(data)
                if isinstance(event, Answer):
                    timing.answered(event)
                elif isinstance(event, Report):
                    event = Report(timing.report(event.values, upload, stages))
                yield event
        except grpc.RpcError as error:
            raise error_of_status(error, Caller(f"/{SERVICE}/Ask")) from error
        finally:
            call.cancel()

    def _pictures(self, ask: AskRequest, stages: Stages) -> list[NDArray[Any]]:
        from edge.events import load_events, raster

        assert self._spec is not None
        with stages.span("load"):
            events = load_events(ask.events_path, start_us=ask.window_start_us, duration_us=self._spec.window_us)
        canvas = (events.height, events.width) if self._spec.sensor_canvas else None
        with stages.span("rasterise", self._replay.drafter.rasterise_ms if self._replay is not None else 0.0):
            return list(raster(events, frames=self._spec.frames, canvas=canvas))

    @staticmethod
    async def _messages(
        ask: AskRequest, pictures: list[NDArray[Any]], clip: Clip, upload: Upload
    ) -> AsyncIterator[bytes]:
        opening = encode_opening(codec.encode_ask(ask), pictures)
        upload.opening(len(opening), pictures=len(opening) - len(codec.encode_ask(ask)))
        yield opening
        for data in _video_messages(clip):
            upload.video(len(data))
            yield data
        upload.done()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._channel.close()
        self._files.shutdown(wait=False, cancel_futures=True)


def _clip(ask: AskRequest, stages: Stages) -> Clip:
    with stages.span("load"):
        return open_clip(ask.video_path)


def _video_messages(clip: Clip) -> Iterator[bytes]:
    """As the edge daemon sends them: packets gathered to about 64 KiB, the header with the first."""
    named = False
    for batch in _batches(clip):
        yield codec.encode_video_packets(batch) if named else codec.encode_video_header("uploaded", clip.header, batch)
        named = True


def _batches(clip: Clip) -> Iterator[list[VideoPacket]]:
    batch: list[VideoPacket] = []
    size = 0
    for packet in clip.packets():
        batch.append(packet)
        size += len(packet.data)
        if size >= _VIDEO_MESSAGE_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


class AgentDaemon:
    """The agent's process."""

    def __init__(self, listen: str, gateway: str, replay: str = "") -> None:
        self._listen = listen
        self._gateway = gateway
        self._answers = ColocatedAnswers(gateway, replay)
        self._server = DaemonServer(codec.EDGE_SERVICE, _MAX_MESSAGE_BYTES)
        self.address = ""

    async def start(self) -> None:
        """Ask the gateway what it needs, and listen."""
        await self._answers.start()
        answers: Any = self._answers  # of the edge daemon's calls, only `Ask` is served
        service = EdgeService(answers, drafter="in the cloud", cloud=self._gateway, sessions=64)
        self.address = await self._server.start(service.handlers(), self._listen)

    async def stop(self) -> None:
        """End everything."""
        await self._server.stop(1.0)
        await self._answers.close()


async def serve(listen: str, gateway: str, replay: str = "") -> None:
    """Run until SIGINT or SIGTERM. Prints one line when ready."""
    await run_daemon(AgentDaemon(listen, gateway, replay), "agent")
