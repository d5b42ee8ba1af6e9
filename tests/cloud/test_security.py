"""A daemon that is closed to strangers, on a real socket: TLS, client certificates, tokens, whose session is whose."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common import codec
from common.access import Scope, TokenEntry, new_token, render_tokens
from common.certificates import write_authority
from common.errors import AuthenticationError, AuthorizationError, EventSpecError, LinkError
from common.reach import Reaching
from common.rpc import channel_options, error_of_status
from common.sealing import Caller
from common.security import Reach
from common.types import Close, Commit, Failure, FailureCode, Finished, Opened
from common.watched_file import write_private
from edge.link import GrpcLink, LinkSettings
from edge.video import Clip
from tests.cloud.test_service import TRUTH, Cloud, Peer, clip, opening, serving, whole

__all__ = ["clip"]  # a fixture


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    write_authority(folder, hosts=["127.0.0.1", "localhost"], edges=["edge-1", "edge-2"])
    return folder


def server_tls(folder: Path, *, mutual: bool = False) -> dict[str, str]:
    files = {"tls_cert": str(folder / "cloud.pem"), "tls_key": str(folder / "cloud.key")}
    return {**files, "tls_ca": str(folder / "ca.pem")} if mutual else files


def reach(folder: Path, edge: str = "", name: str = "", token_file: str = "") -> Reach:
    cert, key = (str(folder / f"{edge}.pem"), str(folder / f"{edge}.key")) if edge else ("", "")
    return Reach(str(folder / "ca.pem"), cert, key, name, token_file)


async def info(address: str, way: Reach) -> str:
    """The model's name. Raises what the daemon or the network says."""
    link = GrpcLink(LinkSettings(address, reach=way))
    try:
        return (await link.info(timeout=5)).model_name
    finally:
        await link.close()


@asynccontextmanager
async def peers(served: Cloud, way: Reach) -> AsyncIterator[Cloud]:
    """The daemon through another channel; `peer()` calls bear the token."""
    reaching = Reaching(way)
    async with reaching.aio_channel(served.daemon.address, channel_options()) as channel:
        yield _Bearing(served, channel, reaching)


class _Bearing(Cloud):
    def __init__(self, served: Cloud, channel: grpc.aio.Channel, reaching: Reaching) -> None:
        super().__init__(served.daemon, served.engine, channel)
        self.reaching = reaching

    def peer(self) -> Peer:
        call = self.channel.stream_stream(f"/{codec.SERVICE}/Speculate")
        return Peer(call(metadata=self.reaching.metadata()))

    async def send_video(self, messages: Any) -> tuple[int, int]:
        call = self.channel.stream_unary(f"/{codec.SERVICE}/StreamVideo")
        async with asyncio.timeout(30):
            return codec.decode_video_reply(await call(iter(messages), metadata=self.reaching.metadata()))


# --------------------------------------------------------------------------------------------------------------- TLS


async def test_tls(monkeypatch: pytest.MonkeyPatch, certs: Path, clip: Clip) -> None:
    async with serving(monkeypatch, **server_tls(certs), local_listen=f"unix:{certs}/local.sock") as served:
        address = served.daemon.address
        assert await info(address, reach(certs)) == "fake"
        with pytest.raises(LinkError):
            await info(address, Reach())
        async with grpc.aio.insecure_channel(f"unix:{certs}/local.sock") as local:
            reply = await health_pb2_grpc.HealthStub(local).Check(health_pb2.HealthCheckRequest())
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        async with peers(served, reach(certs)) as secured:
            assert await secured.works(clip)


async def test_a_daemon_of_another_ca_or_name_isnt_trusted(
    monkeypatch: pytest.MonkeyPatch, certs: Path, tmp_path: Path
) -> None:
    write_authority(tmp_path, hosts=["cloud.example"])
    async with serving(monkeypatch, **server_tls(certs)) as served:
        with pytest.raises(LinkError, match="isn't of the expected CA"):
            await info(served.daemon.address, reach(tmp_path))
    async with serving(monkeypatch, **server_tls(tmp_path)) as served:
        with pytest.raises(LinkError):
            await info(served.daemon.address, reach(tmp_path))  # its certificate is for another name
        assert await info(served.daemon.address, reach(tmp_path, name="cloud.example")) == "fake"


async def test_mutual_tls(monkeypatch: pytest.MonkeyPatch, certs: Path, tmp_path: Path) -> None:
    write_authority(tmp_path, hosts=["x"], edges=["edge-1"])
    stranger = Reach(ca=str(certs / "ca.pem"), cert=str(tmp_path / "edge-1.pem"), key=str(tmp_path / "edge-1.key"))
    async with serving(monkeypatch, **server_tls(certs, mutual=True)) as served:
        assert await info(served.daemon.address, reach(certs, "edge-1")) == "fake"
        for way in (reach(certs), stranger, Reach()):
            with pytest.raises(LinkError):
                await info(served.daemon.address, way)


async def test_a_renewed_certificate_serves_without_a_restart(
    monkeypatch: pytest.MonkeyPatch, certs: Path, tmp_path: Path
) -> None:
    folder, renewed = tmp_path / "now", tmp_path / "renewed"
    shutil.copytree(certs, folder)
    write_authority(renewed, hosts=["127.0.0.1"])
    async with serving(monkeypatch, **server_tls(folder)) as served:
        address = served.daemon.address
        assert await info(address, reach(certs)) == "fake"
        (folder / "cloud.pem").write_text("half a cert")  # being copied: what was good stays
        assert await info(address, reach(certs)) == "fake"
        for name in ("cloud.key", "cloud.pem"):
            shutil.copy(renewed / name, folder / name)
        assert await info(address, reach(renewed)) == "fake"
        with pytest.raises(LinkError):
            await info(address, reach(certs))


# ------------------------------------------------------------------------------------------------------------ tokens


class Tokens:
    """A token file, and files with the tokens in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "tokens.toml"
        self.entries: dict[str, TokenEntry] = {}
        self.secrets: dict[str, str] = {}

    def add(self, label: str, principal: str, *scopes: Scope) -> Reach:
        token, self.entries[label] = new_token(principal, scopes)
        self.secrets[label] = token
        write_private(self.folder / label, token)
        self.write()
        return Reach(token_file=str(self.folder / label))

    def write(self) -> None:
        write_private(self.path, render_tokens(list(self.entries.values())))


EDGE = (Scope.SPECULATE, Scope.VIDEO, Scope.INFO)


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    monkeypatch.setattr("common.watched_file._LOOK_EVERY_S", 0.0)
    return Tokens(tmp_path)


async def failure_of_call(served: Cloud, method: str, way: Reach | None) -> EventSpecError:
    """What a call that is refused hears."""
    metadata = Reaching(way).metadata() if way is not None else ()
    path = f"/{codec.SERVICE}/{method}"
    call = served.channel.stream_stream(path)(metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(30):
            await call.read()
    return error_of_status(caught.value, Caller(path, metadata))


async def test_strangers_stay_outside(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip) -> None:
    good = tokens.add("good", "edge-7", *EDGE)
    unknown, _ = new_token("edge-7", EDGE)
    write_private(tokens.folder / "unknown", unknown)
    stranger = Reach(token_file=str(tokens.folder / "unknown"))
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        for way in (None, stranger):
            for method in ("Speculate", "StreamVideo"):
                error = await failure_of_call(served, method, way)
                assert isinstance(error, AuthenticationError)
                assert not error.retryable
        with pytest.raises(AuthenticationError, match="isn't known here"):
            await info(served.daemon.address, stranger)
        assert await info(served.daemon.address, good) == "fake"
        async with peers(served, good) as edge:
            assert await edge.works(clip)
        assert served.engine.engine.sessions == 0


async def test_health_is_open_and_reflection_is_not(monkeypatch: pytest.MonkeyPatch, tokens: Tokens) -> None:
    tokens.add("good", "edge", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        reply = await health_pb2_grpc.HealthStub(served.channel).Check(health_pb2.HealthCheckRequest())
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")])):
                pass
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("method", "scopes"), [("Speculate", (Scope.VIDEO, Scope.INFO)), ("StreamVideo", (Scope.SPECULATE, Scope.ASK))]
)
async def test_scopes(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, method: str, scopes: tuple[Scope, ...]) -> None:
    way = tokens.add("narrow", "edge", *scopes)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        error = await failure_of_call(served, method, way)
        assert isinstance(error, AuthorizationError)
        if Scope.INFO not in scopes:
            with pytest.raises(AuthorizationError, match="isn't for info"):
                await info(served.daemon.address, way)


async def test_tokens_rotate_under_a_running_daemon(monkeypatch: pytest.MonkeyPatch, tokens: Tokens) -> None:
    old = tokens.add("old", "edge", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        address = served.daemon.address
        assert await info(address, old) == "fake"
        new = tokens.add("new", "edge", *EDGE)
        assert (await info(address, old), await info(address, new)) == ("fake", "fake")
        del tokens.entries["old"]
        tokens.write()
        with pytest.raises(AuthenticationError):
            await info(address, old)
        assert await info(address, new) == "fake"


async def test_a_revoked_token_ends_its_streams_and_another_goes_on(
    monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip
) -> None:
    monkeypatch.setattr("common.standing.LOOK_EVERY_S", 0.05)
    old, other = tokens.add("old", "edge", *EDGE), tokens.add("other", "other", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        served.engine.hold_at = 4
        async with peers(served, old) as first, peers(served, other) as beside:
            peer, neighbour = await first.opened(), await beside.opened("session-1")
            await first.send_video(whole(clip))
            await peer.hear_tokens(4)
            new = tokens.add("new", "edge", *EDGE)
            await asyncio.sleep(0.2)
            assert len(served.daemon._streams) == 2  # the file has changed, not the old token
            del tokens.entries["old"]
            tokens.write()
            async with asyncio.timeout(2):
                revoked = await peer.hear_until(Failure)
            assert (revoked.code, revoked.retryable) == (FailureCode.UNAVAILABLE, True)
            assert "isn't valid any more" in revoked.message
            assert tokens.secrets["old"] not in revoked.message
            await served.engine.until_parked(next(iter(served.engine.engine._sessions)))
            error = await failure_of_call(served, "Speculate", old)
            assert isinstance(error, AuthenticationError)
            served.engine.release()
            async with peers(served, new) as renewed:
                again = renewed.peer()
                await again.say(opening(epoch=1, committed=tuple(peer.answer)))
                again.answer = list(peer.answer)
                assert not (await again.hear_until(Opened)).video_needed
                await again.hear_until(Finished)
                assert again.answer == TRUTH
                await again.say(Close())
                await again.hear_end()
            assert len(served.daemon._streams) == 1
            await neighbour.say(Close())


async def test_an_upload_ends_with_its_token(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip) -> None:
    way = tokens.add("old", "edge", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served, peers(served, way) as edge:
        await edge.opened()
        call = served.channel.stream_stream(f"/{codec.SERVICE}/StreamVideo")(metadata=Reaching(way).metadata())
        messages = list(whole(clip))
        await call.write(messages[0])
        await asyncio.sleep(0.1)
        del tokens.entries["old"]
        tokens.write()
        await call.write(messages[1])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(5):
                await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# --------------------------------------------------------------------------------------------- whose session is whose


async def test_nobody_resumes_anothers_session(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip) -> None:
    alice, bob = tokens.add("a", "alice", *EDGE), tokens.add("b", "bob", *EDGE)
    renewed = tokens.add("c", "alice", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:
        served.engine.hold_at = 4
        async with peers(served, alice) as hers, peers(served, bob) as his, peers(served, renewed) as hers_later:
            peer = await hers.opened()
            await hers.send_video(whole(clip))
            await peer.hear_tokens(4)
            thief = his.peer()
            await thief.say(opening(epoch=1))
            opened = await thief.hear_until(Opened)
            # a session of his own, of which nobody has told him anything
            assert (opened.committed_length, opened.video_needed) == (0, True)
            assert opened.session_id == "session-0"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await peer.hear_until(Finished)  # hers goes on undisturbed, and waits
            await thief.say(Close())
            await thief.hear_end()
            peer.call.cancel()
            served.engine.release()
            again = hers_later.peer()  # another token, the same principal
            await again.say(opening(epoch=1, committed=tuple(peer.answer)))
            again.answer = list(peer.answer)
            opened = await again.hear_until(Opened)
            assert (opened.session_id, opened.video_needed) == ("session-0", False)
            await again.hear_until(Finished)
            assert again.answer == TRUTH


async def test_nobody_feeds_anothers_session_or_clip(
    monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip
) -> None:
    alice, bob = tokens.add("a", "alice", *EDGE), tokens.add("b", "bob", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path), open_timeout_s=0.3) as served:  # noqa: SIM117
        async with peers(served, alice) as hers, peers(served, bob) as his:
            peer = await hers.opened()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await his.send_video(whole(clip))
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            await hers.send_video(whole(clip))
            await peer.hear_until(Finished)
            assert peer.answer == TRUTH
            header = codec.encode_video_header("clip-0001", _ahead(clip))
            await hers.send_video([header, *(codec.encode_video_packets([p]) for p in clip.packets())])
            other = await his.opened("session-9")
            await other.say(Close())
            thief = his.peer()
            await thief.say(opening("session-8", clip="clip-0001"))
            assert (await thief.hear_until(Opened)).video_needed, "it is nobody's clip, as far as he can tell"
            mine = hers.peer()
            await mine.say(opening("session-7", clip="clip-0001"))
            assert not (await mine.hear_until(Opened)).video_needed
            await mine.hear_until(Finished)
            assert mine.answer == TRUTH


def _ahead(clip: Clip) -> Any:
    from dataclasses import replace

    return replace(clip.header, ahead=True)


async def test_certificates_name_principals_too(monkeypatch: pytest.MonkeyPatch, certs: Path, clip: Clip) -> None:
    async with serving(monkeypatch, **server_tls(certs, mutual=True), open_timeout_s=0.3) as served:  # noqa: SIM117
        async with peers(served, reach(certs, "edge-1")) as first, peers(served, reach(certs, "edge-2")) as second:
            peer = await first.opened()
            with pytest.raises(grpc.aio.AioRpcError):
                await second.send_video(whole(clip))
            await first.send_video(whole(clip))
            await peer.hear_until(Commit)


async def test_no_secret_in_logs_or_failures(
    monkeypatch: pytest.MonkeyPatch, tokens: Tokens, certs: Path, caplog: pytest.LogCaptureFixture, clip: Clip
) -> None:
    caplog.set_level("DEBUG")
    good = tokens.add("good", "edge-7", *EDGE)
    tokens.secrets["bad"], _ = new_token("x", EDGE)
    write_private(tokens.folder / "bad", tokens.secrets["bad"])
    said = []
    async with serving(monkeypatch, tokens=str(tokens.path), **server_tls(certs)) as served:
        way = reach(certs, token_file=good.token_file)
        async with peers(served, way) as edge:
            assert await edge.works(clip)
            peer = await edge.opened()
            await peer.say(b"\xff\xff")
            said += [message.message for message in await peer.hear_end() if isinstance(message, Failure)]
        try:
            await info(served.daemon.address, reach(certs, token_file=str(tokens.folder / "bad")))
        except EventSpecError as error:
            said.append(str(error))
    everything = caplog.text + "\n".join(said) + repr(way)
    assert "refused" in caplog.text
    assert said
    for secret in (*tokens.secrets.values(), (certs / "cloud.key").read_text().splitlines()[1]):
        assert secret not in everything
        assert secret[4:] not in everything


def test_failure_codes_of_access() -> None:
    from common.failures import error_of, failure_of

    for error, code in (
        (AuthenticationError("x"), FailureCode.UNAUTHENTICATED),
        (AuthorizationError("x"), FailureCode.PERMISSION),
    ):
        failure = failure_of(error)
        assert (failure.code, failure.retryable) == (code, False)
        assert type(error_of(codec.decode_cloud_message(codec.encode_cloud_message(failure)))) is type(error)  # type: ignore[arg-type]
