"""The cloud daemon: the front (grpc.aio, no torch) and its engine process, from start to graceful end."""

from __future__ import annotations

import logging

from cloud.config import CloudSettings
from cloud.engine_client import EngineProcess
from cloud.metrics import LOADING, CloudMetrics
from cloud.service import SpeculationService
from cloud.streams import StreamTable
from common.access import Scope
from common.codec import SERVICE
from common.connection_limits import ConnectionLimits
from common.errors import EngineDeadError
from common.metrics_server import MetricsServer
from common.server import DaemonServer, run_daemon
from common.tracing import close_spans, open_spans

log = logging.getLogger("eventspec.cloud")

_SCOPES = {"GetInfo": Scope.INFO, "Speculate": Scope.SPECULATE, "StreamVideo": Scope.VIDEO, "Drain": Scope.ADMIN}


_LAST_WORDS_S = 0.5


class CloudDaemon:
    """Everything that runs in the front process."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._streams = StreamTable()
        self._engine = EngineProcess(
            settings.engine,
            on_output=self._streams.deliver,
            on_death=self._engine_died,
            on_hang=self._engine_hangs,
            on_notice=log.warning,
            on_alive=lambda _: self._tell_readiness(),
        )
        self._server = DaemonServer(
            SERVICE, settings.max_message_bytes, settings.security, _SCOPES, ConnectionLimits.of(settings.connections)
        )
        self._spans = open_spans(settings.otel, "eventspec-cloud")
        self._service = SpeculationService(self._engine, self._streams, settings, self._server.door, self._spans)
        self._service.draining.on_change = self._tell_readiness
        self._metrics: MetricsServer | None = None
        self._loaded = False
        self.address = ""

    def _engine_died(self) -> None:
        self._streams.fail_all(self._counted("the engine died and is being restarted; resume in a moment"))

    def _engine_hangs(self) -> None:
        """Edges go on elsewhere, or come back: sessions are parked, for the engine may go on."""
        self._streams.send_away(self._counted("the engine doesn't respond; resume elsewhere, or in a moment"))

    def _counted(self, words: str) -> EngineDeadError:
        """What every edge hears, counted once for each."""
        error = EngineDeadError(words)
        for _ in range(len(self._streams)):
            self._service.counters.refused(error)
        return error

    def _tell_readiness(self) -> None:
        self._server.tell_ready(self._engine.ready and not self._service.draining.active)

    async def start(self) -> None:
        """Listen, load the target, serve. Raises SettingsError, ModelError or EngineError."""
        self.address = await self._server.listen(self._settings.listen, self._settings.local_listen)
        self._serve_metrics()
        log.info("loading the target")
        await self._engine.start()
        self._loaded = True
        await self._server.serve(self._service.handlers())
        info = self._engine.info
        log.info(
            "target %s (%s), %d sessions; engine process %s",
            info.model_name,
            info.model_fingerprint[:12],
            info.max_sessions,
            self._engine.pid,
        )

    def _serve_metrics(self) -> None:
        if self._settings.metrics:
            service = self._service
            metrics = CloudMetrics(
                self._engine, self._streams, service.counters, self._server.door, lambda: service.draining.active
            )
            read = lambda: metrics.read() if self._loaded else LOADING  # noqa: E731
            self._metrics = MetricsServer(self._settings.metrics, read, self._settings.security)

    async def stop(self) -> None:
        """Take no new sessions, give running ones a moment, end everything."""
        await self._service.draining.finish(self._settings.grace_s)
        await self._server.stop(min(_LAST_WORDS_S, self._settings.grace_s))
        self._service.close()
        await self._engine.stop()
        if self._metrics is not None:
            self._metrics.close()
        await close_spans(self._spans)


async def serve(settings: CloudSettings) -> None:
    """Run until a signal ends it. Prints one line when ready."""
    await run_daemon(CloudDaemon(settings), "eventspec-cloud")
