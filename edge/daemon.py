"""The edge daemon: one drafter thread, one link, a local service; from start to graceful end."""

from __future__ import annotations

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.codec import EDGE_SERVICE
from common.errors import EventSpecError, SettingsError
from common.rpc import channel_options
from edge.answering import Answering
from edge.config import EdgeSettings
from edge.link import GrpcLink, LinkSettings
from edge.service import EdgeService
from edge.worker import DraftingThread

log = logging.getLogger("eventspec.edge")


class EdgeDaemon:
    """Everything that runs in the edge process."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._thread = DraftingThread()
        self._files = ThreadPoolExecutor(max_workers=2, thread_name_prefix="files")
        self._link = GrpcLink(LinkSettings(settings.cloud, settings.max_message_bytes))
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=channel_options(settings.max_message_bytes))
        self.address = ""

    async def start(self) -> None:
        """Load the drafter and listen. Raises ModelError or SettingsError."""
        from edge.events import warm_up
        from edge.loading import load_drafter

        log.info("loading the drafter")
        drafter = await self._thread.run(load_drafter, self._settings)
        await asyncio.get_running_loop().run_in_executor(self._files, warm_up)
        answering = Answering(self._settings, drafter=drafter, link=self._link, thread=self._thread, files=self._files)
        service = EdgeService(
            answering, drafter=drafter.name, cloud=self._settings.cloud, sessions=self._settings.sessions
        )
        self._server.add_generic_rpc_handlers((service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((EDGE_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        try:
            port = self._server.add_insecure_port(self._settings.listen)
        except RuntimeError as error:
            raise SettingsError(
                f"can't listen on {self._settings.listen}: is another daemon there? Choose another --listen"
            ) from error
        host = self._settings.listen.rpartition(":")[0]
        self.address = self._settings.listen if self._settings.listen.startswith("unix:") else f"{host}:{port}"
        await self._server.start()
        for name in ("", EDGE_SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("drafter %s", drafter.name)
        await self._greet(service, drafter.tokenizer.hash)

    async def _greet(self, service: EdgeService, tokenizer_hash: str) -> None:
        try:
            info = await self._link.info(timeout=2.0)
        except EventSpecError as error:
            log.warning("no cloud at %s yet (%s); the edge answers alone until it comes", self._settings.cloud, error)
            return
        service.cloud_reachable = True
        if info.tokenizer_hash != tokenizer_hash:
            log.warning("the cloud's target %s has another tokenizer than the drafter", info.model_name)
        log.info("cloud at %s: target %s", self._settings.cloud, info.model_name)

    async def stop(self) -> None:
        """End everything."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.grace_s)
        await self._link.close()
        self._thread.close()
        self._files.shutdown(wait=False, cancel_futures=True)


async def serve(settings: EdgeSettings) -> None:
    """Run until SIGINT or SIGTERM. Prints one line when ready."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    daemon = EdgeDaemon(settings)
    try:
        await daemon.start()
        print(f"eventspec-edge ready on {daemon.address}", flush=True)
        await stop.wait()
    finally:
        await daemon.stop()
