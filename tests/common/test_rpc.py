"""Errors across gRPC: a peer's own word comes back as what it was; whatever gRPC makes up is a lost link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from common.errors import CapacityError, EngineError, EventSpecError, InputError, LinkError, MismatchError, SessionError
from common.rpc import abort, error_of_status


async def call_that_fails(fail: Any) -> grpc.RpcError:
    """What a caller sees of a server whose handler is `fail`."""

    async def handler(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        yield b"first"
        await fail(context)

    server = grpc.aio.server()
    handlers = {"Fail": grpc.unary_stream_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.RpcError) as raised:
                async for _ in channel.unary_stream("/test.Service/Fail")(b""):
                    pass
            return raised.value
    finally:
        await server.stop(0)


@pytest.mark.parametrize("kind", [InputError, MismatchError, CapacityError, SessionError, EngineError, LinkError])
async def test_a_peers_error_comes_back_as_what_it_was(kind: type[EventSpecError]) -> None:
    error = await call_that_fails(lambda context: abort(context, kind("for this reason")))
    found = error_of_status(error)
    assert type(found) is kind
    assert str(found) == "for this reason"


@pytest.mark.parametrize(
    "status",
    [grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN],
)
async def test_a_status_that_no_peer_of_ours_sent_is_a_lost_link(status: grpc.StatusCode) -> None:
    error = await call_that_fails(lambda context: context.abort(status, "Internal error from Core"))
    assert type(error_of_status(error)) is LinkError


async def test_a_message_over_the_limit_stays_too_large() -> None:
    error = await call_that_fails(lambda context: context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"))
    assert type(error_of_status(error)) is CapacityError
