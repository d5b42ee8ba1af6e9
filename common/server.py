"""What both daemons have in common: a gRPC server with health and reflection, and a life from start to graceful end."""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.errors import SettingsError
from common.rpc import channel_options


class DaemonServer:
    """A grpc.aio server for one service, with the standard health and reflection services beside it."""

    def __init__(self, service: str, max_message_bytes: int) -> None:
        self._service = service
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=channel_options(max_message_bytes))

    async def start(self, handlers: grpc.GenericRpcHandler, listen: str) -> str:
        """Listen and serve; returns the address, with the port that was chosen if port 0 was asked for.

        Raises:
            SettingsError: the address can't be listened on.
        """
        self._server.add_generic_rpc_handlers((handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (self._service, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise SettingsError(
                f"can't listen on {listen}: is another daemon there? Choose another --listen"
            ) from error
        await self._server.start()
        for name in ("", self._service):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self, grace_s: float) -> None:
        """Say that it isn't serving any more, give running calls a moment, end them."""
        await self._health.enter_graceful_shutdown()
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
