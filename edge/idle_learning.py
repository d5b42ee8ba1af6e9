"""Learning while nobody asks: steps of a distiller in the drafter's thread, one at a time. Imports no torch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Protocol

from edge.worker import DraftingThread

log = logging.getLogger("eventspec.edge")

_PAUSE_S = 0.01  # between steps: a question that comes waits for one of them at most
_SAVE_EVERY_S = 30.0


class Learner(Protocol):
    """What learns (`edge.distilling.Distiller`)."""

    @property
    def wanted(self) -> bool:
        """True while there are steps left to take."""

    def step(self) -> None:
        """Take one."""

    def save(self) -> None:
        """Write what was learnt."""


class IdleLearning:
    """Runs a learner's steps while no answer is under way."""

    def __init__(self, learner: Learner, thread: DraftingThread) -> None:
        self._learner = learner
        self._thread = thread
        self._answers = 0
        self._task: asyncio.Task[None] | None = None
        self._saved_at = 0.0

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """An answer is under way."""
        self._answers += 1
        try:
            yield
        finally:
            self._answers -= 1
            if not self._answers and (self._task is None or self._task.done()):
                self._task = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        try:
            while not self._answers and self._learner.wanted:
                await self._thread.run(self._learner.step)
                await asyncio.sleep(_PAUSE_S)
            now = asyncio.get_running_loop().time()
            if not self._answers and now - self._saved_at > _SAVE_EVERY_S:
                self._saved_at = now
                await self._thread.run(self._learner.save)
        except Exception:
            log.exception("learning from commits failed; answers go on without it")

    async def stop(self) -> None:
        """End it, and keep what was learnt."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._thread.run(self._learner.save)
