"""Errors across gRPC: a peer's own word comes back as what it was; whatever gRPC makes up is a lost link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from common.errors import (
    AuthenticationError,
    AuthorizationError,
    CapacityError,
    EngineError,
    EventSpecError,
    InputError,
    LinkError,
    MismatchError,
    NotReadyError,
    SessionError,
)
from common.rpc import abort, blames_connection, error_of_status, is_word
from common.sealing import Caller

SEALS = Caller("/test.Service/Fail")
SEALS.seal(b"")
HEADERS, START = SEALS.starts[0], SEALS.starts[1] or 0


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
    error = await call_that_fails(lambda context: abort(context, kind("for this reason"), START))
    found = error_of_status(error, SEALS)
    assert type(found) is kind
    assert str(found) == "for this reason"


@pytest.mark.parametrize(
    "status",
    [grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN],
)
async def test_a_status_that_no_peer_of_ours_sent_is_a_lost_link(status: grpc.StatusCode) -> None:
    error = await call_that_fails(lambda context: context.abort(status, "Internal error from Core"))
    assert type(error_of_status(error, SEALS)) is LinkError


async def test_a_message_over_the_limit_is_a_lost_link_as_long_as_only_grpc_says_so() -> None:
    error = await call_that_fails(lambda context: context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"))
    assert type(error_of_status(error, SEALS)) is LinkError


@pytest.mark.parametrize("kind", [InputError, MismatchError, SessionError, EngineError])
async def test_who_has_seen_nothing_but_headers_says_nothing_final_of_messages(kind: type[EventSpecError]) -> None:
    """As when the frame that had the first message was lost, or was damaged until it looked like another peer's."""
    error = await call_that_fails(lambda context: abort(context, kind("for this reason"), HEADERS))
    assert type(error_of_status(error, SEALS)) is LinkError


@pytest.mark.parametrize("kind", [AuthenticationError, AuthorizationError, CapacityError, NotReadyError])
async def test_what_rests_on_headers_is_believed_who_has_seen_them(kind: type[EventSpecError]) -> None:
    error = await call_that_fails(lambda context: abort(context, kind("for this reason"), HEADERS))
    assert type(error_of_status(error, SEALS)) is kind


async def test_a_failure_of_another_call_is_a_lost_link() -> None:
    error = await call_that_fails(lambda context: abort(context, InputError("for this reason"), START ^ 1))
    assert type(error_of_status(error, SEALS)) is LinkError
    assert not is_word(error, SEALS)
    assert blames_connection(error, SEALS)


@pytest.mark.parametrize("key", ["eventspec-failure", "eventspec-retry-after-ms", "eventspec-check", "details"])
async def test_a_failure_with_any_part_damaged_is_a_lost_link(key: str) -> None:
    """What a relay, or a flipped bit, makes of a status that was a clear refusal."""
    refused = await call_that_fails(lambda context: abort(context, CapacityError("ask again", 500), START))
    assert error_of_status(refused, SEALS).retry_after_ms == 500
    trailing = {k: v for k, v in refused.trailing_metadata() or () if k.startswith("eventspec-")}
    details = str(refused.details())
    if key == "details":
        details = details.replace("again", "aga`n")
    else:
        changed = {"eventspec-failure": "invalid", "eventspec-retry-after-ms": "501", "eventspec-check": "00000000"}
        trailing[key] = changed[key]
    error = await call_that_fails(
        lambda context: context.abort(refused.code(), details, trailing_metadata=tuple(trailing.items()))
    )
    assert type(error_of_status(error, SEALS)) is LinkError


async def test_a_long_failure_is_cut() -> None:
    error = await call_that_fails(lambda context: abort(context, InputError("long \N{SNOWMAN} " * 2_000), START))
    found = error_of_status(error, SEALS)
    assert type(found) is InputError
    assert len(str(found)) == 2_000
