"""Health and draining over a real socket, with an engine in this process."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cloud.draining import _from_here
from common import codec
from common.types import DrainState, Failure, FailureCode, Opened
from tests.cloud.test_service import Cloud, opening, serving

_STATUS = health_pb2.HealthCheckResponse
NAMES = ("", codec.SERVICE, "readiness", "liveness")


async def health(served: Cloud) -> list[bool]:
    """What is said of the daemon, its service, its readiness and its liveness."""
    stub = health_pb2_grpc.HealthStub(served.channel)
    replies = [await stub.Check(health_pb2.HealthCheckRequest(service=name)) for name in NAMES]
    return [reply.status == _STATUS.SERVING for reply in replies]


async def drain(served: Cloud, *, undo: bool = False, grace_ms: int = 60_000) -> DrainState:
    call = served.channel.unary_unary(f"/{codec.SERVICE}/Drain")
    return codec.decode_drain_state(await call(codec.encode_drain(undo=undo, grace_ms=grace_ms)))


async def test_liveness_and_readiness_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as served:
        assert await health(served) == [True] * 4
        served.engine.die()
        await asyncio.sleep(0.05)
        assert await health(served) == [False, False, False, True]
        served.engine.revive()
        await asyncio.sleep(0.05)
        assert await health(served) == [True] * 4


async def test_a_drained_cloud_takes_no_session_until_it_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as served:
        assert await drain(served) == DrainState(True)
        await asyncio.sleep(0.05)
        assert await health(served) == [False, False, False, True]
        peer = served.peer()
        await peer.say(opening())
        (refused,) = await peer.hear_end()
        assert isinstance(refused, Failure)
        assert (refused.code, refused.retryable) == (FailureCode.UNAVAILABLE, True)
        assert await drain(served, undo=True) == DrainState(False)
        await served.opened()
        await asyncio.sleep(0.05)
        assert await health(served) == [True] * 4


async def test_running_sessions_get_their_time_and_then_go_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as served:
        peer = await served.opened()
        assert await drain(served) == DrainState(True, 1)
        await asyncio.sleep(0.2)
        assert (await drain(served)).running == 1
        assert (await drain(served, grace_ms=0)).running == 1  # an earlier end counts, a later one doesn't
        assert (await drain(served)).running == 1
        (sent_away,) = await peer.hear_end()
        assert isinstance(sent_away, Failure)
        assert (sent_away.code, sent_away.retryable) == (FailureCode.UNAVAILABLE, True)
        await served.engine.until_parked("session-0")
        assert await drain(served) == DrainState(True, 0, 1)
        await drain(served, undo=True)
        again = served.peer()
        await again.say(opening(epoch=1))
        assert isinstance(await again.hear(), Opened)


async def test_the_end_of_a_daemon_sends_sessions_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, grace_s=0.1) as served:
        peer = await served.opened()
        stopping = asyncio.create_task(served.daemon.stop())
        (sent_away,) = await peer.hear_end()
        assert isinstance(sent_away, Failure)
        assert sent_away.retryable
        async with asyncio.timeout(5):
            await stopping


async def test_nonsense_and_strangers_drain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as served:
        call = served.channel.unary_unary(f"/{codec.SERVICE}/Drain")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        monkeypatch.setattr("cloud.draining._from_here", lambda peer: False)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(served)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert not served.daemon._service.draining.active


def test_who_is_on_this_machine() -> None:
    assert all(_from_here(peer) for peer in ("unix:", "unix:/x", "ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5"))
    assert not any(
        _from_here(peer) for peer in ("ipv4:10.0.0.7:5", "ipv6:%5Bfe80::1%5D:5", "", "ipv4:localhost.evil:1")
    )
