"""Strangers at a daemon's port: however many connect or watch, who has business there gets in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common.access import Scope, new_token, render_tokens
from common.connection_limits import ConnectionLimits
from common.security import Security, TlsFiles
from common.server import DaemonServer
from common.watched_file import write_private
from tests.cloud.test_security import certs
from tests.connecting import strangers

__all__ = ["certs"]  # a fixture

SERVING = health_pb2.HealthCheckResponse.SERVING
LIMITS = ConnectionLimits.of(256)


class Served:
    """A server with one method, `Echo`, and a token for it."""

    def __init__(self, server: DaemonServer, address: str, token: str, ca: str = "") -> None:
        self.server = server
        self.ca = ca
        self.address = address
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """A connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        if self.ca:
            credentials = grpc.ssl_channel_credentials(Path(self.ca).read_bytes())
            channel = grpc.aio.secure_channel(self.address, credentials, options=options)
        else:
            channel = grpc.aio.insecure_channel(self.address, options=options)
        async with channel:
            yield channel

    async def echo(self, channel: grpc.aio.Channel, data: bytes = b"x") -> bytes:
        call = channel.unary_unary("/eventspec.v1.Test/Echo")
        return bytes(await call(data, metadata=self.metadata, timeout=20))

    async def works(self) -> bool:
        """Whether a newcomer is answered."""
        async with self.channel() as channel:
            return await self.echo(channel) == b"x"


async def echo(request: bytes, context: Any) -> bytes:
    return request


@asynccontextmanager
async def serving(
    folder: Path | None, limits: ConnectionLimits, listen: str = "127.0.0.1:0", keys: Path | None = None
) -> AsyncIterator[Served]:
    token, tokens = "", ""
    if folder is not None:
        token, entry = new_token("edge-1", [Scope.INFO])
        tokens = str(folder / "tokens.toml")
        write_private(Path(tokens), render_tokens([entry]))
    files = TlsFiles(str(keys / "cloud.pem"), str(keys / "cloud.key")) if keys is not None else TlsFiles()
    security = Security(files, tokens, insecure=True)
    server = DaemonServer("eventspec.v1.Test", 1 << 20, security, {"Echo": Scope.INFO}, limits)
    methods = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    address = await server.start(grpc.method_handlers_generic_handler("eventspec.v1.Test", methods), listen)
    try:
        yield Served(server, address, token, str(keys / "ca.pem") if keys is not None else "")
    finally:
        await server.stop(0)


async def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not (found := holds()) or (asyncio.iscoroutine(found) and not await found):
            await asyncio.sleep(0.05)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def memory() -> int:
    """Resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("closed", [True, False], ids=["tokens", "anybody"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_strangers_that_only_stay_connected(tmp_path: Path, host: str, closed: bool) -> None:
    """1,100 connections that answer every ping, of the same host as the edge's."""
    async with serving(tmp_path if closed else None, ConnectionLimits(), f"{host}:0") as served:
        assert await served.works()
        before = descriptors()
        async with served.channel() as old, strangers(served.address, 1_100) as crowd:
            assert await served.echo(old) == b"x"
            for _ in range(5):
                assert await served.works()
            async with asyncio.timeout(20):
                while await crowd.left() > ConnectionLimits().strangers_per_host:
                    await asyncio.sleep(0.1)
            assert await served.works()
            assert await served.echo(old) == b"x"
        await until(lambda: descriptors() <= before + 8)


async def test_strangers_that_only_stay_connected_with_tls(tmp_path: Path, certs: Path) -> None:
    async with serving(tmp_path, LIMITS, keys=certs) as served:
        before = descriptors()
        async with served.channel() as old, strangers(served.address, 300, served.ca) as crowd:
            assert await served.echo(old) == b"x"
            async with asyncio.timeout(20):
                while await crowd.left() > LIMITS.strangers_per_host:
                    await asyncio.sleep(0.1)
            assert await served.works()
            assert await served.echo(old) == b"x"
        await until(lambda: descriptors() <= before + 8)


async def test_a_unix_socket_is_the_file_systems_to_guard(tmp_path: Path) -> None:
    limits = replace(LIMITS, silent_s=0.5)
    async with serving(tmp_path, limits, f"unix:{tmp_path}/socket") as served, served.channel() as quiet:
        checking = health_pb2_grpc.HealthStub(quiet)
        for _ in range(3):
            assert (await checking.Check(health_pb2.HealthCheckRequest())).status == SERVING
            await asyncio.sleep(0.8)
        assert quiet.get_state() is grpc.ChannelConnectivity.READY
        assert await served.works()


async def test_an_orchestrators_connection_stays_while_it_checks(tmp_path: Path) -> None:
    limits = replace(LIMITS, silent_s=0.5, pause_s=1.0)
    async with serving(tmp_path, limits) as served, served.channel() as orchestrator:
        checking = health_pb2_grpc.HealthStub(orchestrator)
        for _ in range(6):
            assert (await checking.Check(health_pb2.HealthCheckRequest(service="readiness"))).status == SERVING
            assert orchestrator.get_state() is grpc.ChannelConnectivity.READY
            await asyncio.sleep(0.4)
        await until(lambda: orchestrator.get_state() is not grpc.ChannelConnectivity.READY)
        assert (await checking.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)).status == SERVING


async def test_silent_strangers_go_and_idle_edges_stay(tmp_path: Path) -> None:
    limits = replace(LIMITS, silent_s=1.0)
    async with serving(tmp_path, limits) as served, served.channel() as edge:
        assert await served.echo(edge) == b"x"
        async with strangers(served.address, 20) as crowd:
            async with asyncio.timeout(20):
                while await crowd.left():
                    await asyncio.sleep(0.2)
        assert edge.get_state() is grpc.ChannelConnectivity.READY
        assert await served.echo(edge) == b"x"


async def test_an_edge_that_was_idle_for_too_long_asks_without_an_error(tmp_path: Path) -> None:
    async with serving(tmp_path, replace(LIMITS, idle_s=1.0)) as served, served.channel() as edge:
        for _ in range(3):
            assert await served.echo(edge) == b"x"
            await until(lambda: edge.get_state() is not grpc.ChannelConnectivity.READY)
        assert await served.echo(edge) == b"x"


async def test_ten_thousand_health_watches(tmp_path: Path) -> None:
    """They cost 108 MB, and nobody bounded them; readiness is still told, and still watched."""
    async with serving(tmp_path, replace(LIMITS, stranger_calls_per_s=1e6)) as served, served.channel() as honest:
        stub = health_pb2_grpc.HealthStub(honest)
        request = health_pb2.HealthCheckRequest(service="readiness")
        watching = stub.Watch(request)
        assert (await watching.read()).status == SERVING
        before, refused = memory(), 0
        async with served.channel() as channel:
            theirs = health_pb2_grpc.HealthStub(channel)
            first = [theirs.Watch(request) for _ in range(4)]
            for call in first:
                assert (await call.read()).status == SERVING
            for _ in range(100):
                calls = [theirs.Watch(request) for _ in range(100)]
                for call in calls:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call.read()
                    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    refused += 1
            assert refused == 10_000
            assert memory() < 1.1 * before + (8 << 20)  # both ends of them are in this process
            assert (await stub.Check(request)).status == SERVING
            served.server.tell_ready(False)
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await first[0].read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watching.cancel()


async def test_a_watcher_that_doesnt_read_holds_nobody_up(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as served, served.channel() as lazy, served.channel() as honest:
        request = health_pb2.HealthCheckRequest(service="readiness")
        unread = [health_pb2_grpc.HealthStub(lazy).Watch(request) for _ in range(4)]
        watching = health_pb2_grpc.HealthStub(honest).Watch(request)
        for number in range(6):
            await watching.read()
            served.server.tell_ready(bool(number % 2))
        unread[0].cancel()
        await asyncio.sleep(0.1)
        served.server.tell_ready(False)
        assert (await watching.read()).status in (SERVING, health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_reflection_is_for_few_at_a_time() -> None:
    async with serving(None, LIMITS) as served, served.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        running = [stub.ServerReflectionInfo() for _ in range(2)]
        for call in running:
            await call.write(request)
            assert "eventspec.v1.Test" in str(await call.read())
        third = stub.ServerReflectionInfo()
        assert await third.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in running:
            call.cancel()


async def test_who_is_refused_on_and_on_loses_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, replace(LIMITS, refusals=8)) as served, served.channel() as honest:
        assert await served.echo(honest) == b"x"
        async with served.channel() as channel:
            calls = [channel.unary_unary("/eventspec.v1.Test/Echo")(b"x") for _ in range(40)]
            codes = [await call.code() for call in calls]
            assert set(codes) <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}
            await until(lambda: channel.get_state() is not grpc.ChannelConnectivity.READY)
        assert honest.get_state() is grpc.ChannelConnectivity.READY
        assert await served.echo(honest) == b"x"


async def test_a_principal_has_as_many_connections_as_it_may(tmp_path: Path) -> None:
    async with serving(tmp_path, ConnectionLimits.of(16)) as served, AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(served.channel()) for _ in range(12)]
        for channel in channels:
            assert await served.echo(channel) == b"x"
        ready = grpc.ChannelConnectivity.READY
        await until(lambda: sum(channel.get_state() is ready for channel in channels) <= 4)
        for channel in channels[:2]:  # they connect again, and others of the same principal go
            assert await served.echo(channel) == b"x"


async def test_a_principal_that_begins_calls_without_end_loses_its_connection(tmp_path: Path) -> None:
    """It gets as many answers as it may, then its connections go, and come again once it rests."""
    limits = replace(LIMITS, calls_per_s=20.0)
    async with serving(tmp_path, limits) as served, served.channel() as greedy:
        answered, lost = 0, 0
        async with asyncio.timeout(30):
            while not lost:
                try:
                    answered += await served.echo(greedy) == b"x"
                except grpc.aio.AioRpcError:
                    lost += 1
        assert answered >= 80  # four seconds' worth at once
        await asyncio.sleep(2.0)
        assert await served.works()


async def test_a_flood_of_health_checks_loses_its_connections_and_no_others(tmp_path: Path) -> None:
    limits = replace(LIMITS, stranger_calls_per_s=10.0)
    request = health_pb2.HealthCheckRequest(service="readiness")
    async with serving(tmp_path, limits) as served, served.channel() as checker, served.channel() as flood:
        stub, theirs = health_pb2_grpc.HealthStub(checker), health_pb2_grpc.HealthStub(flood)
        assert (await stub.Check(request)).status == SERVING
        lost = 0
        async with asyncio.timeout(30):
            while not lost:
                try:
                    await theirs.Check(request)
                except grpc.aio.AioRpcError:
                    lost += 1
        for _ in range(5):
            assert (await stub.Check(request)).status == SERVING
            await asyncio.sleep(0.1)
        assert checker.get_state() is grpc.ChannelConnectivity.READY
