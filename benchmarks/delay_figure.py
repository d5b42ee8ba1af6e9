"""How long a newcomer holds a running session up: the longest step while another's prompt and vision are worked on.

The engine is alone in this process, on one thread, and its steps are timed by that thread's processor time: what else
runs on the machine doesn't enter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures import Figure
from cloud.config import EngineSettings
from cloud.engine import Engine
from cloud.messages import Frames
from common.types import Close, Commit, Open

_PLAIN_STEPS = 24
_ANSWER = 256
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Delay:
    """What one newcomer cost a running session, in seconds.

    Attributes:
        plain_s: a step of the running session alone, in the median.
        longest_s: the longest step until the newcomer's prompt was taken in.
        chunk_s: the longest single chunk of the newcomer's, vision or prompt, when nobody else was there.
        steps: steps until then.
    """

    plain_s: float
    longest_s: float
    chunk_s: float
    steps: int

    @property
    def chunks(self) -> float:
        """The delay, in chunks."""
        return (self.longest_s - self.plain_s) / self.chunk_s


class Newcomer:
    """A session with a prompt as long as is allowed, and a video, on an engine that may be answering another."""

    def __init__(
        self, engine: Engine, question: str, shape: tuple[int, int, int], frames: int, clock: Clock = time.thread_time
    ) -> None:
        """Prepare.

        Args:
            engine: whose answers go on to their limit.
            question: the newcomer's, a long one.
            shape: of a preprocessed frame.
            frames: that the target looks at.
            clock: what steps are timed by, in seconds.
        """
        self._engine, self._clock = engine, clock
        self._pixels = np.random.default_rng(0).normal(size=(frames, *shape)).astype(np.float32)
        self._question = question

    def measure(self) -> Delay:
        """One newcomer, first alone, then beside a running session."""
        engine = self._engine
        chunk_s = self._alone()
        self._open("running", "What moves?")
        while not engine._sessions["running"].prefilled:
            engine.step(time.monotonic())
        plain = [self._step() for _ in range(_PLAIN_STEPS)]
        self._open("newcomer", self._question)
        steps = []
        while not engine._sessions["newcomer"].prefilled:
            steps.append(self._step())
        for name in ("running", "newcomer"):
            engine.handle(name, Close(), time.monotonic())
        return Delay(median(plain), max(steps), chunk_s, len(steps))

    def _open(self, name: str, question: str) -> None:
        now = time.monotonic()
        self._engine.handle(name, Open(name, question, max_tokens=_ANSWER), now)
        self._engine.handle(name, Frames(self._pixels), now)

    def _step(self) -> float:
        """One step; the running session must have got something of it."""
        started = self._clock()
        outputs = self._engine.step(time.monotonic())
        took = self._clock() - started
        assert any(o.session_id == "running" and isinstance(o.message, Commit) for o in outputs)
        return took

    def _alone(self) -> float:
        """The longest chunk: each step's vision and forward apart, in proportion to what the engine says of them."""
        engine, stats, longest = self._engine, self._engine.stats, 0.0
        self._open("newcomer", self._question)
        while not engine._sessions["newcomer"].prefilled:
            before, started = (stats.vision_us, stats.forward_us), self._clock()
            engine.step(time.monotonic())
            took = self._clock() - started
            parts = stats.vision_us - before[0], stats.forward_us - before[1]
            longest = max(longest, took * max(parts) / max(1, sum(parts)))
        engine.handle("newcomer", Close(), time.monotonic())
        return longest


def measure_delay(repetitions: int, model: Path | None) -> Figure:
    """The longest step delay of a running session, in chunks of the newcomer's."""
    from cloud.loading import load_engine

    settings = EngineSettings(model=str(model) if model else "", sessions=2, threads=1, max_answer_tokens=_ANSWER)
    engine, _, frames = load_engine(settings)
    engine._runner.target.eos_token_ids = frozenset()  # type: ignore[attr-defined]
    words = engine.limits.max_prompt_tokens * 3 // 4  # a word may be more than one token
    question = " ".join(["what", "moves"] * (words // 2))
    newcomer = Newcomer(engine, question, (3, frames.size, frames.size), frames.count)
    newcomer.measure()
    delays = [newcomer.measure() for _ in range(max(3, repetitions))]
    details: dict[str, Any] = {
        "each": [round(delay.chunks, 2) for delay in delays],
        "plain step ms": round(median(delay.plain_s for delay in delays) * 1e3, 2),
        "longest step ms": round(median(delay.longest_s for delay in delays) * 1e3, 2),
        "chunk ms": round(median(delay.chunk_s for delay in delays) * 1e3, 2),
        "steps": delays[-1].steps,
        "clock": "processor time of the engine's thread",
    }
    return Figure(
        "delay", "longest step delay of a running session by a newcomer's vision and prompt",
        median(delay.chunks for delay in delays), "chunks", 1, at_least=False, details=details,
    )  # fmt: skip
