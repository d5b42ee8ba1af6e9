"""The engine in this process, over the fake target, where the real daemon would start a process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.engine_limits import EngineLimits
from cloud.messages import EngineMessage, FrameSpec, Output, Park
from common import codec
from common.errors import EngineDeadError
from common.types import WIRE_VERSION, Close, Draft, SamplingParams, ServerInfo
from tests.fakes import EOS, TOKENS_PER_FRAME, VIDEO_FRAMES, VOCAB, FakeRunner, reference_answer

MAX_TOKENS = 60


def long_questions(count: int, length: int = MAX_TOKENS) -> list[str]:
    """Questions whose answers are cut by the length limit, not by the fake target's own end."""
    found = []
    for number in range(10_000):
        question = f"question number {number}"
        if EOS not in reference_answer(question, SamplingParams(), length):
            found.append(question)
        if len(found) == count:
            return found
    raise AssertionError("no such questions")


class LocalEngine:
    """Stands in for `cloud.engine_client.EngineProcess`. Steps on the event loop, one step a turn."""

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        on_output: Callable[[str, bytes], None] = lambda session_id, data: None,
        on_death: Callable[[], None] = lambda: None,
        on_hang: Callable[[], None] = lambda: None,
        on_notice: Callable[[str], None] = lambda text: None,
        on_alive: Callable[[bool], None] = lambda alive: None,
    ) -> None:
        settings = settings or EngineSettings()
        self.settings = settings
        self.on_output = on_output
        self.on_death = on_death
        self.on_hang = on_hang
        self.on_alive = on_alive
        self.hold_at: int | None = None  # committed tokens after which the engine doesn't step any more
        self.waits_for_draft = False  # no step before the first draft has come
        self.taken: list[tuple[str, EngineMessage]] = []
        self.dead = False
        self._changed = asyncio.Condition()
        self._timer: asyncio.TimerHandle | None = None
        self._fresh()

    def _fresh(self) -> None:
        limits = EngineLimits(
            max_prompt_tokens=self.settings.max_prompt_tokens,
            max_answer_tokens=self.settings.max_answer_tokens,
            max_draft=self.settings.max_draft,
            resume_ttl_s=self.settings.resume_ttl_s,
            sessions_per_client=self.settings.sessions_per_client,
            clip_ttl_s=self.settings.clip_ttl_s,
            max_window_bytes=self.settings.max_window_bytes,
        )
        self.runner = FakeRunner(slots=self.settings.sessions)
        self.engine = Engine(self.runner, limits)

    # ------------------------------------------------------------------------- as the service and daemon know it

    @property
    def info(self) -> ServerInfo:
        return ServerInfo(
            wire_version=WIRE_VERSION,
            model_name="fake",
            model_fingerprint="0123456789abcdef",
            tokenizer_hash=FakeRunner.tokenizer_hash,
            vocab_size=VOCAB,
            hidden_size=FakeRunner.hidden_size,
            video_frames=VIDEO_FRAMES,
            eos_token_ids=(EOS,),
            max_sessions=self.settings.sessions,
            max_prompt_tokens=self.settings.max_prompt_tokens,
            max_answer_tokens=self.settings.max_answer_tokens,
            max_draft=self.settings.max_draft,
            max_message_bytes=self.settings.max_message_bytes,
            max_video_bytes=self.settings.max_video_bytes,
        )

    @property
    def frames(self) -> FrameSpec:
        return FrameSpec(
            FakeRunner.pixels_shape[1],
            VIDEO_FRAMES,
            tokens=TOKENS_PER_FRAME,
            hidden=FakeRunner.hidden_size,
            dtype="float32",
            vision_fingerprint="fake-vision",
        )

    @property
    def pid(self) -> int | None:
        return None

    @property
    def ready(self) -> bool:
        return not self.dead

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """No step after this."""
        self.dead = True
        if self._timer is not None:
            self._timer.cancel()

    async def send(self, session_id: str, message: EngineMessage) -> None:
        if self.dead:
            raise EngineDeadError("the engine is restarting; try again in a moment")
        self.taken.append((session_id, message))
        self._say(self.engine.handle(session_id, message, time.monotonic()))
        self._schedule()
        async with self._changed:
            self._changed.notify_all()

    # --------------------------------------------------------------------------------------------- for the tests

    def die(self) -> None:
        """Forget everything, as a killed process does."""
        self.dead = True
        self._fresh()
        self.on_alive(False)
        self.on_death()

    def revive(self) -> None:
        """Take messages again, knowing nothing."""
        self.dead = False
        self.on_alive(True)

    def release(self) -> None:
        """Step again."""
        self.hold_at = None
        self._schedule()

    async def until(self, condition: Callable[[LocalEngine], bool]) -> None:
        """Until a message has made `condition` true."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def until_parked(self, session_id: str) -> None:
        await self.until(lambda e: any(s == session_id and isinstance(m, Park) for s, m in e.taken))

    async def until_closed(self, session_id: str) -> None:
        await self.until(lambda e: any(s == session_id and isinstance(m, Close) for s, m in e.taken))

    def _held(self) -> bool:
        if self.waits_for_draft and not any(isinstance(m, Draft) for _, m in self.taken):
            return True
        return self.hold_at is not None and self.engine.stats.committed >= self.hold_at

    def _schedule(self) -> None:
        due = self.engine.next_due()
        if self.dead or self._held() or due is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, due - time.monotonic()) if due > 0 else 0.0
        self._timer = asyncio.get_running_loop().call_later(delay, self._step)

    def _step(self) -> None:
        if not self.dead and not self._held():
            self._say(self.engine.step(time.monotonic()))
            self._schedule()

    def _say(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self.on_output(output.session_id, codec.encode_cloud_message(output.message))
