"""What happens to each call of a server before its handler sees it: let in or refused, counted, and few at a time."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from common.call_limits import CallLimit, CallLimits
from common.connection_warden import ConnectionWarden
from common.door import Door, Metadata, host_of
from common.errors import AccessError, CapacityError
from common.rpc import abort
from common.sealing import Callee

_WATCHES, _CHECKS, _REFLECTIONS, _REFUSED = "health watches", "health checks", "reflection calls", "refused calls"
_LIMITS = {
    _WATCHES: CallLimit(4, 32, 256),
    _CHECKS: CallLimit(16, 256, 1_024),
    _REFLECTIONS: CallLimit(2, 8, 32),
    _REFUSED: CallLimit(4, 256, 2_000),
}
_WATCH = f"/{health.SERVICE_NAME}/Watch"
_HEALTH, _REFLECTION = f"/{health.SERVICE_NAME}/", f"/{reflection.SERVICE_NAME}/"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class CallGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Asks the door about each call, and tells the warden on whose connection it is."""

    def __init__(self, door: Door, warden: ConnectionWarden) -> None:
        self._door = door
        self._warden = warden
        self._limits = CallLimits(_LIMITS)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The method's handler with everything around it, or one that refuses."""
        method = str(handler_call_details.method)
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        try:
            self._door.check(method, cast("Metadata", handler_call_details.invocation_metadata or ()))
        except AccessError as error:
            seen = Callee(method, handler_call_details.invocation_metadata)
            return _of_the_same_kind(handler, self._refusing(error, seen.start))
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        return _of_the_same_kind(handler, self._guarded(method, behaviour))

    def _guarded(self, method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        """The handler's own function inside the limits. gRPC tells kinds of functions apart, so each stays its kind."""

        async def answer(request: Any, context: Context) -> Any:
            if (refusal := self._door.refusal(method, context)) is not None:
                return await self._refusing(refusal, _seen(method, context))(request, context)
            try:
                with self._counted(method, context):
                    return await behaviour(request, context)
            except CapacityError as error:
                await abort(context, error, _seen(method, context))

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            if (refusal := self._door.refusal(method, context)) is not None:
                await self._refusing(refusal, _seen(method, context))(request, context)
            try:
                with self._counted(method, context):
                    async with contextlib.aclosing(behaviour(request, context)) as replies:
                        async for reply in replies:
                            yield reply
            except CapacityError as error:
                await abort(context, error, _seen(method, context))

        return stream if inspect.isasyncgenfunction(behaviour) else answer

    @contextlib.contextmanager
    def _counted(self, method: str, context: Context) -> Iterator[None]:
        """A call while it runs. Raises CapacityError: too many of its kind."""
        peer, kind = context.peer(), _kind(method)
        with contextlib.ExitStack() as counting:
            counting.enter_context(self._warden.call(peer, self._whose(kind, context)))
            if kind:
                counting.enter_context(self._limits.call(kind, peer, host_of(peer)))
            yield

    def _whose(self, kind: str, context: Context) -> str:
        """Whose connection a call shows that it is; empty: it shows nothing."""
        if kind and not (kind == _REFLECTIONS and self._door.has_tokens):
            return ""
        try:
            return self._door.principal(context).client
        except AccessError:
            return ""

    def _refusing(self, error: AccessError, start: int) -> Callable[..., Any]:
        """Ends every call; the refused one reads nothing of what is sent, and waits if it isn't one of many."""

        async def refuse(_: Any, context: Context) -> Any:
            peer = context.peer()
            self._warden.refused(peer)
            with contextlib.suppress(CapacityError), self._limits.call(_REFUSED, peer, host_of(peer)):
                await self._door.hold()
            await abort(context, error, start)

        return refuse


def _seen(method: str, context: Context) -> int:
    """From what the checksum of a refusal goes on that rests on a call's headers alone."""
    return Callee(method, context.invocation_metadata()).start


def _kind(method: str) -> str:
    """What a call is counted as; empty: it is the service's own."""
    if method == _WATCH:
        return _WATCHES
    if method.startswith(_HEALTH):
        return _CHECKS
    return _REFLECTIONS if method.startswith(_REFLECTION) else ""


def _of_the_same_kind(handler: Any, behaviour: Callable[..., Any]) -> Handler:
    make: Callable[..., Handler]
    if handler.request_streaming and handler.response_streaming:
        make = grpc.stream_stream_rpc_method_handler
    elif handler.request_streaming:
        make = grpc.stream_unary_rpc_method_handler
    elif handler.response_streaming:
        make = grpc.unary_stream_rpc_method_handler
    else:
        make = grpc.unary_unary_rpc_method_handler
    return make(behaviour, handler.request_deserializer, handler.response_serializer)
