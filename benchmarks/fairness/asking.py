"""An asker without a drafter's model: one question after another, straight to a cloud, with what it got of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import grpc
import grpc.aio

from common import codec
from common.access import AUTHORIZATION
from common.prefix_hash import prefix_hash
from common.rpc import channel_options
from common.types import Close, Commit, Draft, DrafterInfo, Failure, Finished, Open, Pace
from common.video import VideoHeader, VideoPacket

_PATIENCE_MS = 100
_BACKOFF_S = 0.2  # where a refusal says nothing of when to come back


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, again and again.

    Attributes:
        header: of its clip.
        packets: of its clip.
        tokens: of an answer.
        drafts: tokens of a draft of nonsense after each commit; 0: none.
    """

    text: str
    header: VideoHeader
    packets: tuple[VideoPacket, ...]
    tokens: int
    drafts: int = 0


@dataclass(frozen=True, slots=True)
class Got:
    """What an asker got: seconds of each answer, refusals and waiting included, and when tokens came.

    The last answer may be one that never came: it counts if it had taken longer than all others.
    """

    answers_s: tuple[float, ...]
    tokens_at: tuple[tuple[float, int], ...]
    refusals: int
    contents: tuple[tuple[int, ...], ...] = ()


@dataclass
class Asker:
    """Asks until `stop`. `identity` is its token; askers of one identity are one client, whatever their connections."""

    address: str
    identity: str
    tokenizer_hash: str
    seed: int
    stop: bool = False
    answers: list[tuple[float, tuple[int, ...]]] = field(default_factory=list)
    tokens_at: list[tuple[float, int]] = field(default_factory=list)
    refusals: int = 0
    waited_s: float = 0.0  # in vain, at the end

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        options = [*channel_options(), ("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        self._channel = grpc.aio.insecure_channel(self.address, options=options)
        self._metadata = ((AUTHORIZATION, f"Bearer {self.identity}"),)

    @property
    def got(self) -> Got:
        """What it came to."""
        times = [took for took, _ in self.answers]
        times += [self.waited_s] if self.waited_s > max(times, default=0.0) else []
        return Got(tuple(times), tuple(self.tokens_at), self.refusals, tuple({tokens for _, tokens in self.answers}))

    async def run(self, question: Question, least: int = 0) -> None:
        """Ask until told to stop, or for `least` answers; a refusal is tried again when it says."""
        while not self.stop and (not least or len(self.answers) < least):
            began = time.monotonic()
            while not self.stop:
                refused = await self._ask(question, began)
                if refused is None:
                    break
                self.refusals += 1
                await asyncio.sleep(refused.retry_after_ms / 1e3 or _BACKOFF_S)
            self.waited_s = time.monotonic() - began if self.stop else 0.0
        await self._channel.close()

    async def _ask(self, question: Question, began: float) -> Failure | None:
        """One try. Returns the refusal, if there was one."""
        session_id = f"fair-{self._chance.getrandbits(96):024x}"
        opening = Open(session_id, question.text, max_tokens=question.tokens)
        if question.drafts:  # patient, so that its drafts come in time to be checked, and cost what they cost
            info = DrafterInfo("nonsense", self.tokenizer_hash, 300, 64)
            opening = replace(opening, drafter=info, pace=Pace.PATIENT, patience_ms=_PATIENCE_MS)
        call = self._channel.stream_stream(f"/{codec.SERVICE}/Speculate")(metadata=self._metadata)
        await call.write(codec.encode_edge_message(opening))
        video = asyncio.create_task(self._send_video(session_id, question))
        answer: list[int] = []
        try:
            while (data := await call.read()) is not grpc.aio.EOF:
                match message := codec.decode_cloud_message(data):
                    case Failure():
                        return message
                    case Commit():
                        self._take(answer, message)
                        if question.drafts:
                            await call.write(self._nonsense(answer, question.drafts))
                    case Finished():
                        self.answers.append((time.monotonic() - began, tuple(answer)))
                        return None
                if self.stop:
                    return None
            return None
        finally:
            video.cancel()
            await asyncio.gather(video, return_exceptions=True)
            await self._leave(call)

    def _take(self, answer: list[int], commit: Commit) -> None:
        answer[commit.start_position :] = commit.token_ids
        self.tokens_at.append((time.monotonic(), len(commit.token_ids)))

    def _nonsense(self, answer: Sequence[int], count: int) -> bytes:
        ids = tuple(self._chance.randrange(3, 300) for _ in range(count))
        return codec.encode_edge_message(Draft(len(answer), 0, len(answer), prefix_hash(answer), ids))

    async def _send_video(self, session_id: str, question: Question) -> None:
        call = self._channel.stream_stream(f"/{codec.SERVICE}/StreamVideo")(metadata=self._metadata)
        await call.write(codec.encode_video_header(session_id, question.header, question.packets))
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass

    @staticmethod
    async def _leave(call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        """A goodbye, so that the session is freed."""
        try:
            await call.write(codec.encode_edge_message(Close()))
            await call.done_writing()
            async with asyncio.timeout(1.0):
                while await call.read() is not grpc.aio.EOF:
                    pass
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
            call.cancel()
