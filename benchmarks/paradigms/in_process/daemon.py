"""The process around `models.py`: the edge daemon's own `Ask` call, so that a benchmark asks all paradigms alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import codec
from common.ask import AskEvent, AskRequest, Report
from common.server import DaemonServer, run_daemon
from edge.service import EdgeService

if TYPE_CHECKING:
    from benchmarks.paradigms.in_process.models import InProcessModels

_MAX_MESSAGE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class InProcessSettings:
    """Folders of both models, and how to run them."""

    target: Path
    drafter: Path
    listen: str
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1


class InProcessDaemon:
    """Models in one thread, asked over a socket. Times are the process's own: the socket isn't in them."""

    def __init__(self, settings: InProcessSettings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._server = DaemonServer(codec.EDGE_SERVICE, _MAX_MESSAGE_BYTES)
        self._models: InProcessModels | None = None
        self.address = ""

    async def start(self) -> None:
        """Load both models and listen."""
        self._models = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        answers: Any = self  # of the edge daemon's calls, only `Ask` is served
        service = EdgeService(answers, drafter=self._settings.drafter.name, cloud="none", sessions=1)
        self.address = await self._server.start(service.handlers(), self._settings.listen)

    def _load(self) -> InProcessModels:
        from benchmarks.paradigms.in_process.models import InProcessModels

        s = self._settings
        return InProcessModels(s.target, s.drafter, device=s.device, dtype=s.dtype, threads=s.threads)

    async def answer(self, ask: AskRequest) -> AsyncGenerator[AskEvent, None]:
        """One answer; its only event is the report."""
        assert self._models is not None
        values = await asyncio.get_running_loop().run_in_executor(self._thread, self._models.answer, ask)
        yield Report(values)

    async def stop(self) -> None:
        """End everything."""
        await self._server.stop(1.0)
        self._thread.shutdown(wait=False, cancel_futures=True)


async def serve(settings: InProcessSettings) -> None:
    """Run until SIGINT or SIGTERM. Prints one line when ready."""
    await run_daemon(InProcessDaemon(settings), "in-process")
