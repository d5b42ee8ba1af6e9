"""A link to an engine in this process, which fails as it is told; and a drafter that knows the fake target."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any

import numpy as np

from cloud.messages import Frames, Park
from common import codec
from common.errors import EngineDeadError, EventSpecError, LinkError
from common.failures import failure_of
from common.types import Close, CloudMessage, EdgeMessage, Open, SamplingParams, ServerInfo
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.actions import BranchJob
from edge.branches import Branched, Choice
from edge.link import Packets
from tests.fakes import EOS, VIDEO_FRAMES, FakeRunner, next_token, prompt_tokens
from tests.local_engine import LocalEngine


class LoopStream:
    """One stream; every message goes through the codec, as on a wire."""

    def __init__(self, link: LoopLink) -> None:
        self._link = link
        self._inbox: asyncio.Queue[bytes | EventSpecError] = asyncio.Queue()
        self._session_id = ""
        self._said_goodbye = False
        self.broken = False

    async def send(self, message: EdgeMessage) -> int:
        if self.broken:
            raise LinkError("the stream is closed")
        if isinstance(message, Open):
            self._session_id = message.session_id
            self._link.streams[self._session_id] = self
        self._said_goodbye = self._said_goodbye or isinstance(message, Close)
        data = codec.encode_edge_message(message)
        try:
            await self._link.engine.send(self._session_id, codec.decode_edge_message(data))
        except EngineDeadError as error:
            self.put(codec.encode_cloud_message(failure_of(error)))
        return len(data)

    async def receive(self) -> tuple[CloudMessage, int]:
        item = await self._inbox.get()
        if isinstance(item, EventSpecError):
            raise item
        return codec.decode_cloud_message(item), len(item)

    def distrust(self) -> None:
        """There is one engine."""

    async def close(self) -> None:
        await self.cut(LinkError("closed"))

    def put(self, item: bytes | EventSpecError) -> None:
        self._inbox.put_nowait(item)

    async def cut(self, error: EventSpecError) -> None:
        """End the stream, as both sides see it."""
        if self.broken:
            return
        self.broken = True
        self.put(error)
        if self._link.streams.get(self._session_id) is self:
            del self._link.streams[self._session_id]
            if not self._said_goodbye and not self._link.engine.dead:
                await self._link.engine.send(self._session_id, Park())


class LoopLink:
    """Implements `edge.link.Link`.

    Attributes:
        opens: errors of the next attempts to open a stream; the last one stays if `for_ever`.
        video_errors: errors of the next attempts to send a video.
        cut_after: answer tokens after which a stream breaks, one break each.
    """

    def __init__(self) -> None:
        self.engine = LocalEngine(on_output=self._deliver)
        self.streams: dict[str, LoopStream] = {}
        self.opens: list[EventSpecError] = []
        self.video_errors: list[EventSpecError] = []
        self.for_ever = False
        self.attempts = 0
        self.videos = 0

    def _deliver(self, session_id: str, data: bytes) -> None:
        if session_id in self.streams:
            self.streams[session_id].put(data)

    async def info(self, timeout: float) -> ServerInfo:
        return self.engine.info

    async def open(self) -> LoopStream:
        self.attempts += 1
        if self.opens:
            raise self.opens[0] if self.for_ever else self.opens.pop(0)
        return LoopStream(self)

    async def send_video(self, session_id: str, header: VideoHeader, packets: Packets) -> int:
        assert isinstance(packets, Iterable)
        self.videos += 1
        size = sum(len(packet.data) for packet in packets)
        if self.video_errors:
            raise self.video_errors.pop(0)
        pixels = np.zeros((VIDEO_FRAMES, *FakeRunner.pixels_shape), dtype=np.float32)
        await self.engine.send(session_id, Frames(pixels))
        return size

    async def stream_video(
        self, clip_id: str, header: VideoHeader, packets: AsyncIterable[VideoPacket], sent: Callable[[int, int], None]
    ) -> int:
        raise LinkError("no videos ahead of their questions here")

    async def send_features(
        self, session_id: str, header: FeaturesHeader, features: AsyncIterable[FrameFeatures]
    ) -> int:
        self.videos += 1
        sent = [frame async for frame in features]
        if self.video_errors:
            raise self.video_errors.pop(0)
        rows = np.stack([np.frombuffer(frame.features.data, dtype=np.uint8) for frame in sent])
        await self.engine.send(session_id, Frames(rows, encoded=True))
        return rows.size

    async def close(self) -> None:
        """Nothing to let go of."""

    async def cut(self, error: EventSpecError | None = None) -> None:
        """Break every stream."""
        for stream in list(self.streams.values()):
            await stream.cut(error or LinkError("cut"))


Guess = Callable[[list[int], list[int]], int]


def right(prompt: list[int], answer: list[int]) -> int:
    return next_token([*prompt, *answer], SamplingParams(), len(answer))


def wrong(prompt: list[int], answer: list[int]) -> int:
    truth = right(prompt, answer)
    return 3 if truth != 3 else 4


def mixed(prompt: list[int], answer: list[int]) -> int:
    """Right twice in three times."""
    return wrong(prompt, answer) if len(answer) % 3 == 2 else right(prompt, answer)


class FakeDrafter:
    """Implements `edge.worker.Drafting` and notices if it is used from more than one thread.

    Attributes:
        fail_at: answer length at which drafting fails.
        error: what it fails with.
    """

    def __init__(
        self, question: str, guess: Guess, *, fail_at: int | None = None, error: Exception | None = None
    ) -> None:
        self._prompt = prompt_tokens(question)
        self._guess = guess
        self.answer: list[int] = []
        self.fail_at = fail_at
        self.error = error or RuntimeError("CUDA out of memory")
        self.closed = False
        self.branch_jobs = 0
        self.threads: set[str] = set()

    def prefill(self, prompt_ids: Any, frames: Any) -> None:
        """It knows its prompt already."""

    def draft(self, count: int) -> list[int]:
        self.threads.add(threading.current_thread().name)
        ids: list[int] = []
        while len(ids) < count and not (ids and ids[-1] == EOS):
            if self.fail_at is not None and len(self.answer) >= self.fail_at:
                raise self.error
            ids.append(self._guess(self._prompt, self.answer))
            self.answer.append(ids[-1])
        return ids

    def commit(self, position: int, ids: Sequence[int]) -> None:
        self.threads.add(threading.current_thread().name)
        self.answer[position:] = ids

    def branch(self, job: BranchJob) -> Branched:
        if job.tokens:
            self.commit(job.position, job.tokens)
        ids = self.draft(job.count) if job.count else []
        self.branch_jobs += 1
        places = range(job.first, min(job.until, len(self.answer)))
        return Branched(tuple(ids), {place: self._choice(place, job.alternatives) for place in places})

    def _choice(self, place: int, alternatives: int) -> Choice:
        """The truth comes second wherever it isn't the own choice; it knows where it is wrong."""
        own, truth = self.answer[place], right(self._prompt, self.answer[:place])
        others = [word for word in (truth, 3, 4, 5) if word != own][:alternatives]
        sure = 0.99 if own == truth else 0.4
        return Choice((own, *others), (sure, *[(1 - sure) / 2 ** (i + 1) for i in range(len(others))]))

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True
