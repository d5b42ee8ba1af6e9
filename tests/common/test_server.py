"""A daemon's address before its model is loaded: taken, alive, not ready; and a second daemon finds it so at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2

from common import codec
from common.access import Scope
from common.errors import NotReadyError, SettingsError
from common.rpc import error_of_status
from common.sealing import Caller
from common.security import Security
from common.server import LIVENESS, READINESS, DaemonServer, somebody_listens

SERVING, NOT_SERVING = (health_pb2.HealthCheckResponse.ServingStatus.Value(name) for name in ("SERVING", "NOT_SERVING"))
STREAM, UNARY = f"/{codec.EDGE_SERVICE}/Ask", f"/{codec.EDGE_SERVICE}/Status"


@pytest.fixture
async def server() -> AsyncIterator[DaemonServer]:
    made = DaemonServer(codec.EDGE_SERVICE, 1 << 20)
    yield made
    await made.stop(0.0)


async def status(request: bytes, context: object) -> bytes:
    return b"status"


async def ask(request: bytes, context: object) -> AsyncIterator[bytes]:
    yield b"answer"


HANDLERS = grpc.method_handlers_generic_handler(
    codec.EDGE_SERVICE,
    {"Ask": grpc.unary_stream_rpc_method_handler(ask), "Status": grpc.unary_unary_rpc_method_handler(status)},
)


async def health_of(channel: grpc.aio.Channel, name: str) -> int:
    call = channel.unary_unary(f"/{health.SERVICE_NAME}/Check")
    reply = await call(health_pb2.HealthCheckRequest(service=name).SerializeToString(), timeout=10.0)
    return int(health_pb2.HealthCheckResponse.FromString(reply).status)


async def test_what_a_loading_daemon_answers(server: DaemonServer) -> None:
    address = await server.listen("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as channel:
        assert await health_of(channel, LIVENESS) == SERVING
        for name in ("", READINESS, codec.EDGE_SERVICE):
            assert await health_of(channel, name) == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await channel.unary_unary(UNARY)(b"")
        with pytest.raises(grpc.aio.AioRpcError) as streamed:
            async for _ in channel.unary_stream(STREAM)(b""):
                pass
        for caught, path in ((unary, UNARY), (streamed, STREAM)):
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            error = error_of_status(caught.value, Caller(path))
            assert isinstance(error, NotReadyError)
            assert error.retryable and error.retry_after_ms == NotReadyError.retry_after_ms > 0
            assert "loading" in str(error) and "\n" not in str(error)
        with pytest.raises(grpc.aio.AioRpcError) as alien:
            await channel.unary_unary("/another.Service/Call")(b"")
        assert alien.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_it_serves_once_it_is_loaded(server: DaemonServer) -> None:
    address = await server.listen("127.0.0.1:0")
    server.tell_ready(False)
    server.tell_ready(True)  # while it loads, nothing is told
    async with grpc.aio.insecure_channel(address) as channel:
        assert await health_of(channel, READINESS) == NOT_SERVING
        await server.serve(HANDLERS)
        assert await health_of(channel, READINESS) == SERVING
        assert await channel.unary_unary(UNARY)(b"") == b"status"
        assert [reply async for reply in channel.unary_stream(STREAM)(b"")] == [b"answer"]


async def test_a_stranger_hears_nothing_about_a_loading_daemon(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("")
    server = DaemonServer(codec.EDGE_SERVICE, 1 << 20, Security(tokens=str(tokens)), {"Status": Scope.INFO})
    try:
        address = await server.listen("127.0.0.1:0")
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(UNARY)(b"")
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    finally:
        await server.stop(0.0)


@pytest.mark.parametrize("place", ["127.0.0.1:0", "unix:{}/daemon.sock"])
async def test_a_second_daemon_is_told_while_the_first_one_loads(
    server: DaemonServer, tmp_path: Path, place: str
) -> None:
    address = await server.listen(place.format(tmp_path))
    second = DaemonServer(codec.EDGE_SERVICE, 1 << 20)
    with pytest.raises(SettingsError, match="is another daemon there"):
        await second.listen(address)
    await second.stop(0.0)
    async with grpc.aio.insecure_channel(address) as channel:  # and takes nothing away from the first
        assert await health_of(channel, LIVENESS) == SERVING


async def test_a_socket_that_a_killed_daemon_left_is_taken(server: DaemonServer, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/daemon.sock"
    script = f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({address[5:]!r}); s.listen()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0
    assert Path(address[5:]).is_socket() and not somebody_listens(address)
    assert await server.listen(address) == address
    assert somebody_listens(address)
