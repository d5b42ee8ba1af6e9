"""The standard health service. grpcio-health-checking's own lets one watcher that doesn't read hold up everybody.

There a condition's lock is held while a state is written, so that a stranger's full flow-control window keeps the
daemon from telling its readiness, and from ending; and the first watcher that leaves takes the others' notices along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_State = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Names and whether they serve. Lives on one event loop; telling never waits for a watcher."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()

    def tell(self, name: str, serving: bool) -> None:
        """How it is from now on."""
        if self._serving.get(name) is not serving:
            self._serving[name] = serving
            self._changed.set()
            self._changed = asyncio.Event()

    async def Check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """How a name is now."""
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no service of this name")
        return self._state(request.service)

    async def Watch(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        """How a name is, and each time that it changes; a slow reader gets the latest."""
        told = None
        while True:
            changed, state = self._changed, self._state(request.service)
            if state != told:
                told = state
                yield state
            else:
                await changed.wait()

    async def List(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """All names."""
        return health_pb2.HealthListResponse(statuses={name: self._state(name) for name in self._serving})

    def _state(self, name: str) -> Any:
        serving = self._serving.get(name)
        if serving is None:
            return _State(status=_State.SERVICE_UNKNOWN)
        return _State(status=_State.SERVING if serving else _State.NOT_SERVING)
