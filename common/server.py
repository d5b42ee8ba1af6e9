"""What both daemons have in common: a gRPC server with health and reflection, and a life from start to graceful end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.access import Scope
from common.door import Door
from common.errors import SettingsError
from common.rpc import channel_options
from common.security import Security, TlsFiles
from common.tls import server_credentials

LIVENESS, READINESS = "liveness", "readiness"  # names for the health service
_STREAMS = 512  # of one connection
HEALTH = {f"/{health.SERVICE_NAME}/{method}": None for method in ("Check", "Watch", "List")}


class DaemonServer:
    """A grpc.aio server for one service, with the standard health and reflection services beside it."""

    def __init__(
        self,
        service: str,
        max_message_bytes: int,
        security: Security | None = None,
        scopes: Mapping[str, Scope] | None = None,
        connections: int = 1024,
    ) -> None:
        """Prepare.

        Args:
            service: full name of the service.
            max_message_bytes: largest message that is taken.
            security: who may reach it, and how. None: anybody on this machine.
            connections: at a time; more are closed as they come.
            scopes: the scope that a call of each method must have, by the method's name; others need `Scope.INFO`.

        Raises:
            SettingsError: the token file makes no sense.
        """
        self._service = service
        self._security = security or Security()
        self._health = health.aio.HealthServicer()
        self._ready = True
        self._started = False
        self._telling: asyncio.Task[None] | None = None
        paths = {f"/{service}/{method}": scope for method, scope in (scopes or {}).items()}
        self.door = Door({**HEALTH, **paths}, self._security.tokens, certificates=bool(self._security.tls.ca))
        limits = [("grpc.max_allowed_incoming_connections", connections), ("grpc.max_concurrent_streams", _STREAMS)]
        options = [*channel_options(max_message_bytes), *limits]
        self._server = grpc.aio.server(interceptors=self.door.interceptors(), options=options)

    async def start(self, handlers: grpc.GenericRpcHandler, listen: str, local: str = "") -> str:
        """Listen and serve; returns the address, with the port that was chosen if port 0 was asked for.

        `local` is a second address, a unix socket, for health checks and the like on this machine; never TLS.

        Raises:
            SettingsError: the address can't be listened on, or not without TLS, or a file of TLS makes no sense.
        """
        self._security.check(listen)
        self._server.add_generic_rpc_handlers((handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (self._service, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        port = self._bind(listen, self._security.tls)
        if local:
            self._bind(local, TlsFiles())
        self._security.warn(listen)
        await self._server.start()
        self._started = True
        await self._tell(LIVENESS, True)
        await self._tell_all(self._ready)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    def _bind(self, address: str, tls: TlsFiles) -> int:
        try:
            if tls.cert and not address.startswith("unix:"):
                return int(self._server.add_secure_port(address, server_credentials(tls)))
            return int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise SettingsError(
                f"can't listen on {address}: is another daemon there? Choose another --listen"
            ) from error

    def tell_ready(self, ready: bool) -> None:
        """Say whether new calls are welcome: "readiness", the service's own name, and "" (for who asks of nothing)."""
        if ready != self._ready:
            self._ready = ready
            if self._started:
                self._telling = asyncio.create_task(self._tell_all(ready))

    async def _tell_all(self, ready: bool) -> None:
        for name in ("", self._service, READINESS):
            await self._tell(name, ready)

    async def _tell(self, name: str, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Say that it isn't ready any more (it lives until it is gone), give running calls a moment, end them."""
        self._ready = False
        await self._tell_all(False)
        await self._server.stop(grace_s)


class Daemon(Protocol):
    """A process's whole life behind three words."""

    address: str

    async def start(self) -> None:
        """Load and listen."""

    async def stop(self) -> None:
        """End everything, also what a start that was cut short left behind."""


async def run_daemon(daemon: Daemon, name: str) -> None:
    """Run until SIGINT or SIGTERM, which may come while it starts. Prints one line when it is ready."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(daemon.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        await starting
        print(f"{name} ready on {daemon.address}", flush=True)
        await stopping
    finally:
        stopping.cancel()
        await daemon.stop()
