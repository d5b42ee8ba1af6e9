"""Stands before a service's handlers while its daemon loads: the address is taken, calls are told to come back."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc
import grpc.aio

from common.errors import NotReadyError
from common.rpc import abort
from common.sealing import Callee


class LoadingGate(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Refuses every call of a service until it is opened with the service's own handlers."""

    def __init__(self, service: str) -> None:
        self._calls = f"/{service}/"
        self._handlers: grpc.GenericRpcHandler | None = None

    def open(self, handlers: grpc.GenericRpcHandler) -> None:
        """From now on, calls go to these handlers."""
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of one call; None if it isn't of this service."""
        if self._handlers is not None:
            return self._handlers.service(handler_call_details)
        if str(handler_call_details.method).startswith(self._calls):
            start = Callee(str(handler_call_details.method), handler_call_details.invocation_metadata).start
            # on the wire, calls of all kinds end alike
            return grpc.stream_stream_rpc_method_handler(partial(_refuse, start))
        return None


async def _refuse(start: int, _: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await abort(context, NotReadyError("this daemon is still loading its model: try again in a moment"), start)
