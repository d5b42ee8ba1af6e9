"""The cloud daemon: the front (grpc.aio, no torch) and its engine process, from start to graceful end."""

from __future__ import annotations

import asyncio
import logging
import signal

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cloud.config import CloudSettings
from cloud.engine_client import EngineProcess
from cloud.service import SpeculationService
from cloud.streams import StreamTable
from common.codec import SERVICE
from common.errors import EngineDeadError, SettingsError
from common.rpc import channel_options

log = logging.getLogger("eventspec.cloud")


class CloudDaemon:
    """Everything that runs in the front process."""

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._streams = StreamTable()
        self._health = health.aio.HealthServicer()
        self._engine = EngineProcess(
            settings.engine,
            on_output=self._streams.deliver,
            on_death=self._engine_died,
            on_notice=log.warning,
        )
        self._service = SpeculationService(self._engine, self._streams, settings)
        self._server = grpc.aio.server(options=channel_options(settings.max_message_bytes))
        self.address = ""

    def _engine_died(self) -> None:
        self._streams.fail_all(EngineDeadError("the engine died and is being restarted; resume in a moment"))

    async def start(self) -> None:
        """Load the target and listen. Raises ModelError, EngineError or SettingsError."""
        log.info("loading the target")
        await self._engine.start()
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        try:
            port = self._server.add_insecure_port(self._settings.listen)
        except RuntimeError as error:
            await self._engine.stop()
            raise SettingsError(
                f"can't listen on {self._settings.listen}: is another daemon there? Choose another --listen"
            ) from error
        host = self._settings.listen.rpartition(":")[0]
        self.address = self._settings.listen if self._settings.listen.startswith("unix:") else f"{host}:{port}"
        await self._server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        info = self._engine.info
        log.info(
            "target %s (%s), %d sessions; engine process %s",
            info.model_name,
            info.model_fingerprint[:12],
            info.max_sessions,
            self._engine.pid,
        )

    async def stop(self) -> None:
        """Take no new sessions, give running ones a moment, end everything."""
        self._service.drain()
        await self._health.enter_graceful_shutdown()
        if len(self._streams):
            log.info("going down: %d sessions have %.0f s to end", len(self._streams), self._settings.grace_s)
        await self._server.stop(self._settings.grace_s)
        self._service.close()
        await self._engine.stop()


async def serve(settings: CloudSettings) -> None:
    """Run until SIGINT or SIGTERM. Prints one line when ready."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    daemon = CloudDaemon(settings)
    starting = asyncio.create_task(daemon.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    stopping.cancel() if starting.exception() else None
    await starting
    print(f"eventspec-cloud ready on {daemon.address}", flush=True)
    try:
        await stop.wait()
    finally:
        await daemon.stop()
