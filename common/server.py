"""What both daemons have in common: a gRPC server with health and reflection, and a life from start to graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common import descriptors
from common.access import Scope
from common.call_guard import CallGuard
from common.connection_limits import ConnectionLimits
from common.connection_warden import ConnectionWarden
from common.door import Door
from common.errors import SettingsError
from common.health import HealthService
from common.loading_gate import LoadingGate
from common.private_memory import keep_memory_private
from common.revocation import RevokedCertificates
from common.rpc import channel_options
from common.security import Security, TlsFiles
from common.tls import server_credentials
from common.unknown_calls import take_only

log = logging.getLogger("eventspec")

LIVENESS, READINESS = "liveness", "readiness"  # names for the health service
_STREAMS = 256  # of one connection
_HANDSHAKE_MS = 10_000
_REFLECTION = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
HEALTH = {f"/{health.SERVICE_NAME}/{method}": None for method in ("Check", "Watch", "List")}


class DaemonServer:
    """A grpc.aio server for one service, with the standard health and reflection services beside it."""

    def __init__(
        self,
        service: str,
        max_message_bytes: int,
        security: Security | None = None,
        scopes: Mapping[str, Scope] | None = None,
        connections: ConnectionLimits | None = None,
    ) -> None:
        """Prepare.

        Args:
            service: full name of the service.
            max_message_bytes: largest message that is taken.
            security: who may reach it, and how. None: anybody on this machine.
            connections: how many there may be, and for how long.
            scopes: the scope that a call of each method must have, by the method's name; there are no others. None:
                whatever methods there are need `Scope.INFO`.

        Raises:
            SettingsError: the token file, or the revocation list, makes no sense.
        """
        self._service = service
        self._security = security or Security()
        self._health = HealthService()
        self._ready = True
        self._serving = False
        self._gate = LoadingGate(service)
        self._warden = ConnectionWarden(limits := _within(connections or ConnectionLimits()))
        paths = {f"/{service}/{method}": scope for method, scope in (scopes or {}).items()}
        ca, crl = self._security.tls.ca, self._security.crl
        revoked = RevokedCertificates(crl, ca) if crl else None
        self.door = Door({**HEALTH, **paths}, self._security.tokens, certificates=bool(ca), revoked=revoked)
        options = [
            *channel_options(max_message_bytes),
            ("grpc.max_allowed_incoming_connections", descriptors.taken(limits.total)),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.max_connection_idle_ms", round(limits.idle_s * 1e3)),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ]
        self._server = grpc.aio.server(interceptors=[CallGuard(self.door, self._warden)], options=options)
        if paths:
            take_only(self._server, [*paths, *HEALTH, _REFLECTION])

    async def listen(self, listen: str, local: str = "") -> str:
        """Take the address, before anything is loaded; returns it, with the port that was chosen for port 0.

        From here on it lives, and isn't ready: calls of the service are refused with `NotReadyError` until `serve`.
        `local` is a second address, a unix socket, for health checks and the like on this machine; never TLS.

        Raises:
            SettingsError: the address can't be listened on, or not without TLS, or a file of TLS makes no sense.
        """
        self._security.check(listen)
        self._server.add_generic_rpc_handlers((self._gate,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (self._service, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        port = 0 if listen.startswith("unix:") else self._bind(listen, self._security.tls)
        if not port:
            self._bind(listen, TlsFiles())
        if local:
            self._bind(local, TlsFiles())
        self._security.warn(listen)
        self._health.tell(LIVENESS, True)
        self._tell_all(False)
        await self._server.start()
        if port:
            self._warden.start(port)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    async def serve(self, handlers: grpc.GenericRpcHandler) -> None:
        """All is loaded: answer the service's calls with these handlers."""
        self._gate.open(handlers)
        self._serving = True
        self._tell_all(self._ready)

    async def start(self, handlers: grpc.GenericRpcHandler, listen: str, local: str = "") -> str:
        """`listen`, then `serve` at once: where there is nothing to load."""
        address = await self.listen(listen, local)
        await self.serve(handlers)
        return address

    def _bind(self, address: str, tls: TlsFiles) -> int:
        try:
            if address.startswith("unix:") and somebody_listens(address):
                raise RuntimeError("gRPC would take the socket's name away from who listens there")
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
            if self._serving:
                self._tell_all(ready)

    def _tell_all(self, ready: bool) -> None:
        for name in ("", self._service, READINESS):
            self._health.tell(name, ready)

    async def stop(self, grace_s: float) -> None:
        """Say that it isn't ready any more (it lives until it is gone), give running calls a moment, end them."""
        self._ready = False
        self._tell_all(False)
        await self._warden.stop()
        await self._server.stop(grace_s)


def somebody_listens(address: str) -> bool:
    """Whether a unix socket's name (unix:PATH) is in use; one that a killed daemon left isn't."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address.removeprefix("unix:").removeprefix("//"))
        except TimeoutError:
            return True  # its queue is full
        except OSError:
            return False
    return True


def _within(limits: ConnectionLimits) -> ConnectionLimits:
    """The limits, or less of them where this process may not have that many descriptors."""
    most = descriptors.raise_limit()
    if descriptors.needed(limits.total) <= most:
        return limits
    total = descriptors.enough_for(most)
    log.warning("the limit of open files allows %d connections: raise it (ulimit -n, LimitNOFILE)", total)
    return replace(ConnectionLimits.of(total), idle_s=limits.idle_s)


class Daemon(Protocol):
    """A process's whole life behind three words."""

    address: str

    async def start(self) -> None:
        """Load and listen."""

    async def stop(self) -> None:
        """End everything, also what a start that was cut short left behind."""


# A daemon follows its certificates and tokens by itself, so there is nothing that these could mean but the end.
_ALSO_END = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def leave_out_of_collections() -> None:
    """What was loaded stays: the garbage collector needn't look through all of it, on the loop, again and again."""
    gc.collect()
    gc.freeze()


async def run_daemon(daemon: Daemon, name: str) -> None:
    """Run until a signal that ends it, which may come while it starts. Prints one line when it is ready.

    SIGINT and SIGTERM end it; so do SIGHUP, SIGUSR1 and SIGUSR2, unless they were ignored from the start (nohup).
    """
    keep_memory_private()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    also = [number for number in _ALSO_END if signal.getsignal(number) is not signal.SIG_IGN]
    for number in (signal.SIGINT, signal.SIGTERM, *also):
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
        leave_out_of_collections()
        with contextlib.suppress(OSError):  # nobody need be there to read it
            print(f"{name} ready on {daemon.address}", flush=True)
        await stopping
    finally:
        stopping.cancel()
        await daemon.stop()
