"""A client certificate that was revoked opens nothing any more, and what it had opened ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.certificates import issue, revoke, write_authority
from common.errors import AuthenticationError
from common.reach import Reaching
from common.rpc import channel_options, error_of_status
from common.sealing import Caller
from common.types import Close, Failure, FailureCode, Finished, Opened
from edge.link import GrpcLink, LinkSettings
from edge.video import Clip
from tests.cloud.test_security import info, peers, reach, server_tls
from tests.cloud.test_service import TRUTH, clip, opening, serving, whole

__all__ = ["clip"]  # a fixture


@pytest.fixture
def certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("common.watched_file._LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("common.standing.LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("common.door.HOLD_S", 0.0)
    folder = tmp_path / "certs"
    write_authority(folder, hosts=["127.0.0.1"], edges=["edge-1", "edge-2"])
    return folder


def closed(folder: Path) -> dict[str, str]:
    return {**server_tls(folder, mutual=True), "tls_crl": str(folder / "crl.pem")}


async def test_every_method_is_closed_to_it(monkeypatch: pytest.MonkeyPatch, certs: Path) -> None:
    async with serving(monkeypatch, **closed(certs)) as served:
        address = served.daemon.address
        assert await info(address, reach(certs, "edge-1")) == "fake"
        revoke(certs, certs / "edge-1.pem")
        with pytest.raises(AuthenticationError, match="was revoked"):
            await info(address, reach(certs, "edge-1"))
        async with Reaching(reach(certs, "edge-1")).aio_channel(address, channel_options()) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            seals = Caller("/grpc.health.v1.Health/Check")
            assert isinstance(error_of_status(caught.value, seals), AuthenticationError)
            watching = health.Watch(health_pb2.HealthCheckRequest())
            with pytest.raises(grpc.aio.AioRpcError):
                await asyncio.wait_for(watching.read(), 5)
        assert await info(address, reach(certs, "edge-2")) == "fake"


async def test_an_edge_that_runs_goes_on_with_the_certificate_put_in_its_place(
    monkeypatch: pytest.MonkeyPatch, certs: Path
) -> None:
    async with serving(monkeypatch, **closed(certs)) as served:
        link = GrpcLink(LinkSettings(served.daemon.address, reach=reach(certs, "edge-1")))
        try:
            assert (await link.info(timeout=5)).model_name == "fake"
            revoke(certs, certs / "edge-1.pem")
            with pytest.raises(AuthenticationError, match="was revoked"):
                await link.info(timeout=5)
            issue(certs, "edge-1")
            assert (await link.info(timeout=5)).model_name == "fake"
            stream = await link.open()
            await stream.send(opening())
            word, _ = await asyncio.wait_for(stream.receive(), 5)
            assert isinstance(word, Opened)
            await stream.close()
        finally:
            await link.close()


async def test_its_streams_end_and_a_new_certificate_goes_on(
    monkeypatch: pytest.MonkeyPatch, certs: Path, clip: Clip
) -> None:
    async with serving(monkeypatch, **closed(certs)) as served:
        served.engine.hold_at = 4
        async with peers(served, reach(certs, "edge-1")) as first, peers(served, reach(certs, "edge-2")) as beside:
            peer, neighbour = await first.opened(), await beside.opened("session-1")
            await first.send_video(whole(clip))
            await peer.hear_tokens(4)
            revoke(certs, certs / "edge-1.pem")
            async with asyncio.timeout(2):
                revoked = await peer.hear_until(Failure)
            assert (revoked.code, revoked.retryable) == (FailureCode.UNAVAILABLE, True)
            assert "was revoked" in revoked.message
            served.engine.release()
            issue(certs, "edge-1")
            async with peers(served, reach(certs, "edge-1")) as renewed:
                again = renewed.peer()
                await again.say(opening(epoch=1, committed=tuple(peer.answer)))
                again.answer = list(peer.answer)
                await again.hear_until(Opened)
                await again.hear_until(Finished)
                assert again.answer == TRUTH
                await again.say(Close())
                await again.hear_end()
            await neighbour.say(Close())
