"""A cloud's real service over a target that is a function of question and features: an answer takes milliseconds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulation.target import KnownTarget
from cloud.admission import ClientLimits
from cloud.config import CloudSettings
from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import EngineMessage, FrameSpec
from cloud.runner import PromptShape, Work
from cloud.service import SpeculationService
from cloud.streams import StreamTable
from common import codec
from common.access import Scope
from common.connection_limits import ConnectionLimits
from common.server import DaemonServer
from common.types import WIRE_VERSION, ServerInfo

VOCABULARY, EOS, FIRST_WORD = 1_000, 2, 3
FRAMES, FEATURES, HIDDEN = 2, 96, 64
VISION = "light-vision"
_SCOPES = {"GetInfo": Scope.INFO, "Speculate": Scope.SPECULATE, "StreamVideo": Scope.VIDEO}
_TEXT = 4


def word(question: str, seen: int, position: int) -> int:
    """The target's token at a position: of the question, of every byte of the features (`seen`, their CRC-32)."""
    return FIRST_WORD + crc32(f"{position}\0{question}".encode(), seen) % (VOCABULARY - FIRST_WORD)


class LightTarget(KnownTarget):
    """Implements `cloud.runner.Runner`."""

    vocab_size = VOCABULARY
    eos_token_ids = frozenset({EOS})
    hidden_size = HIDDEN

    def __init__(self, slots: int) -> None:
        super().__init__({}, slots=slots, frames=FRAMES, tokens_per_frame=FEATURES)
        self._questions: dict[int, str] = {}
        self._seen: dict[int, int] = {}

    def open(self, slot: int, question: str) -> PromptShape:
        video = FRAMES * FEATURES
        self._questions[slot], self._seen[slot] = question, 0
        return PromptShape(video + _TEXT, _TEXT, 1, video)

    def close(self, slot: int, poisoned: bool = False) -> None:
        del self._questions[slot], self._seen[slot]

    def place(self, slot: int, features: NDArray[np.uint8]) -> int:
        self._seen[slot] = crc32(features.tobytes(), self._seen[slot])
        return 0

    def _choices(self, work: Work) -> list[int]:
        about = self._questions[work.slot], self._seen[work.slot]
        return [word(*about, position) for position in range(work.position, work.position + work.choices)]


@dataclass(frozen=True)
class LightSettings(CloudSettings):
    """As a cloud's, but short-lived; what damage makes of messages isn't held against anybody."""

    listen: str = "127.0.0.1:0"
    sessions: int = 256
    resume_ttl_s: float = 2.0
    open_timeout_s: float = 2.0
    connections: int = 4_096

    @property
    def client_limits(self) -> ClientLimits:
        return ClientLimits(calls=10_000, strikes=1 << 30)


@dataclass
class LightEngine:
    """Implements `cloud.engine_client.EngineClient` in this process, one step a turn of the loop."""

    settings: CloudSettings
    streams: StreamTable
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    @cached_property
    def engine(self) -> Engine:
        """The real engine over the light target."""
        settings = self.settings
        limits = EngineLimits(
            max_prompt_tokens=settings.max_prompt_tokens,
            max_answer_tokens=settings.max_answer_tokens,
            max_draft=settings.max_draft,
            resume_ttl_s=settings.resume_ttl_s,
        )
        return Engine(LightTarget(settings.sessions), limits)

    @property
    def info(self) -> ServerInfo:
        """The light target's capabilities."""
        settings = self.settings
        limits = (settings.sessions, settings.max_prompt_tokens, settings.max_answer_tokens, settings.max_draft)
        sizes = (settings.max_message_bytes, settings.max_video_bytes)
        about = (WIRE_VERSION, "light", "light", LightTarget.tokenizer_hash, VOCABULARY, HIDDEN, FRAMES, (EOS,))
        return ServerInfo(*about, *limits, *sizes)

    @property
    def frames(self) -> FrameSpec:
        """What features must be."""
        return FrameSpec(1, FRAMES, FEATURES, HIDDEN, "float16", VISION)

    async def send(self, session_id: str, message: EngineMessage) -> None:
        """Handle a message now, step soon."""
        for output in self.engine.handle(session_id, message, time.monotonic()):
            self.streams.deliver(output.session_id, codec.encode_cloud_message(output.message))
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.engine.next_due()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._step)

    def _step(self) -> None:
        for output in self.engine.step(time.monotonic()):
            self.streams.deliver(output.session_id, codec.encode_cloud_message(output.message))
        self._schedule()

    def stop(self) -> None:
        """No step after this."""
        if self._timer is not None:
            self._timer.cancel()


class LightCloud:
    """The real front on a real socket, with the light engine in the same process."""

    def __init__(self, tokens: str = "") -> None:
        self._settings = LightSettings(tokens=tokens)
        streams = StreamTable()
        self.engine = LightEngine(self._settings, streams)
        limits = ConnectionLimits(4_096, 4_096, 4_096, 4_096, refusals=1 << 30)
        server = DaemonServer(codec.SERVICE, self._settings.max_message_bytes, self._settings.security, _SCOPES, limits)
        self._server = server
        self._service = SpeculationService(self.engine, streams, self._settings, server.door)

    async def start(self) -> str:
        """Listen; returns the address."""
        return await self._server.start(self._service.handlers(), self._settings.listen)

    async def stop(self) -> None:
        """End everything."""
        await self._server.stop(0.0)
        self.engine.stop()
        self._service.close()
