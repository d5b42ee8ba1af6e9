"""Calls of methods that a server doesn't have are refused without their names being read.

gRPC's asyncio server (grpcio 1.85) decodes the path of a call in the loop that takes all calls. A path that isn't
UTF-8, a stranger's or one with a flipped bit, ends that loop and with it the server. A method that is registered in
gRPC's core is told apart there, byte by byte; of what isn't, nothing is decoded here. Where gRPC takes calls in another
way, nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc.aio
from grpc._cython import cygrpc


class _Nothing:
    """Resolves no method."""

    def resolve_handler(self, _: Any) -> None:
        """There is no handler."""


class _KnownCallsServer(cygrpc.AioServer):  # type: ignore[misc]
    """gRPC's own, but that calls of other methods than the registered ones are refused, if there are such."""

    only_registered = False

    def _make_request_call_future(self, method: bytes | None) -> Any:
        if method is not None or not self.only_registered:
            return super()._make_request_call_future(method)
        return asyncio.get_running_loop().create_task(self._refuse_unknown())

    async def _refuse_unknown(self) -> None:
        """Until the server ends."""
        loop, refusals = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        while True:
            call = await self._request_call()
            refusing = cygrpc._handle_rpc("", _Nothing(), (), call, loop, False)
            refusals.add(task := loop.create_task(cygrpc._schedule_rpc_coro(refusing, call, loop, "")))
            task.add_done_callback(refusals.discard)


if hasattr(cygrpc.AioServer, "_make_request_call_future"):
    cygrpc.AioServer = _KnownCallsServer


def take_only(server: grpc.aio.Server, paths: Iterable[str]) -> None:
    """From its start on, a server refuses calls of other methods than these, whose handlers may be added as always."""
    core = server._server
    if isinstance(core, _KnownCallsServer):
        core.add_registered_method_handlers(dict.fromkeys(paths))  # no handler: the generic ones are asked
        core.only_registered = True
