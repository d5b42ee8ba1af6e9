"""The real service on a real socket, over an engine in this process: what peers may do to it, and what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import cloud.daemon
from cloud.config import CloudSettings
from cloud.daemon import CloudDaemon
from common import codec
from common.errors import SettingsError
from common.prefix_hash import prefix_hash
from common.rpc import channel_options
from common.types import (
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    DrafterInfo,
    EdgeMessage,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    Open,
    Opened,
    SamplingParams,
    Tensor,
)
from common.video import LEAST_PIECE, FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.video import Clip, open_clip, write_video
from tests.fakes import TOKENS_PER_FRAME, VIDEO_FRAMES, FakeRunner, reference_answer
from tests.local_engine import MAX_TOKENS, LocalEngine, long_questions

(QUESTION,) = long_questions(1)
TRUTH = reference_answer(QUESTION, SamplingParams(), MAX_TOKENS)
SETTINGS: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "sessions": 4,
    "max_message_bytes": 65_536,
    "max_video_bytes": 40_000,
    "open_timeout_s": 30.0,
    "grace_s": 0.2,
}


def opening(session_id: str = "session-0", question: str = QUESTION, **changes: Any) -> Open:
    info = DrafterInfo("drafter", "fake", 50, 4)
    base = {"session_id": session_id, "question": question, "max_tokens": MAX_TOKENS, "drafter": info}
    return Open(**{**base, **changes})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    rng = np.random.default_rng(0)
    write_video(path, [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(6)], fps=10)
    return open_clip(path)


class Peer:
    """One call of `Speculate`, as an edge makes it, byte by byte."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.answer: list[int] = []

    async def say(self, *messages: EdgeMessage | bytes) -> None:
        for message in messages:
            await self.call.write(message if isinstance(message, bytes) else codec.encode_edge_message(message))

    async def hear(self) -> CloudMessage | None:
        """The next message; None at the stream's end."""
        async with asyncio.timeout(30):
            data = await self.call.read()
        if data is grpc.aio.EOF:
            return None
        message = codec.decode_cloud_message(data)
        if isinstance(message, Commit):
            self.answer[message.start_position :] = message.token_ids
        return message

    async def hear_until(self, kind: type[CloudMessage]) -> Any:
        """The next message of a kind; those before it are taken in."""
        while (message := await self.hear()) is not None:
            if isinstance(message, kind):
                return message
        raise AssertionError(f"the stream ended without {kind.__name__}")

    async def hear_tokens(self, count: int) -> None:
        """Until the answer has `count` tokens."""
        while len(self.answer) < count:
            await self.hear_until(Commit)

    async def hear_end(self) -> list[CloudMessage]:
        """All messages up to the stream's end."""
        messages = []
        while (message := await self.hear()) is not None:
            messages.append(message)
        return messages


class Cloud:
    """A running daemon with its engine, and a channel to it."""

    def __init__(self, daemon: CloudDaemon, engine: LocalEngine, channel: grpc.aio.Channel) -> None:
        self.daemon = daemon
        self.engine = engine
        self.channel = channel

    def peer(self) -> Peer:
        return Peer(self.channel.stream_stream(f"/{codec.SERVICE}/Speculate")())

    async def opened(self, session_id: str = "session-0", **changes: Any) -> Peer:
        """A peer whose session the cloud has taken in."""
        peer = self.peer()
        await peer.say(opening(session_id, **changes))
        await peer.hear_until(Opened)
        return peer

    async def send_video(self, messages: Iterable[bytes]) -> tuple[int, int]:
        call = self.channel.stream_unary(f"/{codec.SERVICE}/StreamVideo")
        async with asyncio.timeout(30):
            return codec.decode_video_reply(await call(iter(messages)))

    async def refused_video(self, messages: Iterable[bytes]) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.send_video(messages)
        return caught.value.code(), str(caught.value.details())

    async def works(self, clip: Clip, session_id: str = "another-session") -> bool:
        """Whether a well-behaved peer gets its answer, whatever went before."""
        peer = await self.opened(session_id)
        await self.send_video(whole(clip, session_id))
        await peer.hear_until(Finished)
        await peer.say(Close())
        assert await peer.hear_end() == []
        self.engine.engine.check_integrity()
        return peer.answer == TRUTH


def whole(clip: Clip, session_id: str = "session-0") -> Iterator[bytes]:
    """A clip as its messages."""
    yield codec.encode_video_header(session_id, clip.header)
    for packet in clip.packets():
        yield codec.encode_video_packets([packet])


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    async with serving(monkeypatch) as started:
        yield started


@asynccontextmanager
async def serving(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> AsyncIterator[Cloud]:
    monkeypatch.setattr(cloud.daemon, "EngineProcess", LocalEngine)
    monkeypatch.setattr("common.door.HOLD_S", 0.01)
    daemon = CloudDaemon(CloudSettings(**{**SETTINGS, **changes}))
    await daemon.start()
    engine = daemon._engine
    assert isinstance(engine, LocalEngine)
    try:
        # the peers of these tests may send more than the daemon takes
        async with grpc.aio.insecure_channel(daemon.address, options=channel_options(8 << 20)) as channel:
            yield Cloud(daemon, engine, channel)
    finally:
        await daemon.stop()


# --------------------------------------------------------------------------------------------------- as it should be


async def test_one_answer_from_open_to_close(served: Cloud, clip: Clip) -> None:
    assert await served.works(clip)
    assert served.engine.engine.sessions == 0


async def test_drafts_are_verified(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    await peer.say(Draft(1, 0, 0, prefix_hash([]), tuple(TRUTH[:5])))
    assert await served.send_video(whole(clip)) == (6, sum(len(m) for m in whole(clip)))
    first = await peer.hear_until(Commit)
    assert (first.accepted, list(first.token_ids)) == (5, TRUTH[:6])
    await peer.hear_until(Finished)
    assert peer.answer == TRUTH


async def test_messages_are_acknowledged_as_they_come_if_the_header_asks_for_it(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    packets = [
        piece
        for p in clip.packets()
        for piece in (replace(p, data=p.data[:LEAST_PIECE], continued=True), replace(p, data=p.data[LEAST_PIECE:]))
    ]
    assert all(packet.data for packet in packets)
    call = served.channel.stream_stream(f"/{codec.SERVICE}/StreamVideo")()
    messages = [codec.encode_video_header("session-0", replace(clip.header, acknowledge=True))]
    messages += [codec.encode_video_packets([packet]) for packet in packets]
    received = 0
    async with asyncio.timeout(30):
        for data in messages:
            await call.write(data)
            received += len(data)
            assert codec.decode_video_acknowledgement(await call.read()) == received
        await call.done_writing()
        last = await call.read()
        assert codec.decode_video_acknowledgement(last) is None
        assert codec.decode_video_reply(last) == (6, received)
    await peer.hear_until(Finished)
    assert peer.answer == TRUTH


async def test_get_info(served: Cloud) -> None:
    reply = await served.channel.unary_unary(f"/{codec.SERVICE}/GetInfo")(codec.encode_info_request())
    assert codec.decode_info(reply) == served.engine.info


async def test_health_and_reflection(served: Cloud) -> None:
    stub = health_pb2_grpc.HealthStub(served.channel)
    for name in ("", codec.SERVICE):
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="no.such.service"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_cancel_is_answered(served: Cloud, clip: Clip) -> None:
    served.engine.hold_at = 1
    peer = await served.opened()
    await served.send_video(whole(clip))
    await peer.hear_tokens(1)
    await peer.say(Cancel())
    finished = await peer.hear_until(Finished)
    assert finished.reason is FinishReason.CANCELLED
    await peer.say(Close())
    assert await peer.hear_end() == []
    assert served.engine.engine.sessions == 0


# ------------------------------------------------------------------------------------------------- bad first words


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"\xff\xff\xff", "the bytes don't parse"),
        (b"", "empty"),
        (Draft(1, 0, 0, 0, (5,)), "begins with Open, not Draft"),
        (Cancel(), "begins with Open, not Cancel"),
        (Close(), "begins with Open, not Close"),
        (opening(session_id="short"), "8 to 64 ASCII"),
    ],
)
async def test_a_bad_first_message(served: Cloud, clip: Clip, first: EdgeMessage | bytes, words: str) -> None:
    peer = served.peer()
    await peer.say(first)
    (failure,) = await peer.hear_end()
    assert isinstance(failure, Failure)
    assert failure.code is FailureCode.INVALID
    assert words in failure.message
    assert not failure.retryable
    assert await served.works(clip)


async def test_an_empty_stream(served: Cloud) -> None:
    peer = served.peer()
    await peer.call.done_writing()
    (failure,) = await peer.hear_end()
    assert isinstance(failure, Failure)
    assert "ended before its Open" in failure.message


async def test_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, open_timeout_s=0.1) as served:
        (failure,) = await served.peer().hear_end()
    assert isinstance(failure, Failure)
    assert "no Open within 0.1 s" in failure.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"question": " "}, FailureCode.INVALID),
        ({"question": "x" * 600}, FailureCode.INVALID),
        ({"max_tokens": 0}, FailureCode.INVALID),
        ({"wire_version": 2}, FailureCode.MISMATCH),
        ({"drafter": DrafterInfo("d", "other", 1, 1)}, FailureCode.MISMATCH),
    ],
)
async def test_a_refused_open(served: Cloud, clip: Clip, changes: dict[str, Any], code: FailureCode) -> None:
    peer = served.peer()
    await peer.say(opening(**changes))
    failure = await peer.hear_until(Failure)
    assert failure.code is code
    await peer.call.done_writing()
    assert await peer.hear_end() == []
    assert await served.works(clip)


async def test_no_room(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    async with serving(monkeypatch, sessions=1) as served:
        first = await served.opened()
        second = served.peer()
        await second.say(opening("session-1"))
        failure = await second.hear_until(Failure)
        assert (failure.code, failure.retryable) == (FailureCode.CAPACITY, True)
        await first.say(Close())
        assert await first.hear_end() == []
        assert await served.works(clip)


# ------------------------------------------------------------------------------------------------ bad later words


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        ("a second Open", opening(max_tokens=7)),
        ("a second Open", opening(epoch=1, committed=(5,))),
        ("the bytes don't parse", b"\x0a\xff"),
        ("empty", b""),
    ],
)
async def test_a_bad_later_message_ends_its_session_only(
    served: Cloud, clip: Clip, words: str, bad: EdgeMessage | bytes
) -> None:
    served.engine.hold_at = 2
    good, peer = await served.opened("session-1"), await served.opened()
    await served.send_video(whole(clip))
    await peer.hear_tokens(1)
    await peer.say(bad)
    messages = await peer.hear_end()
    failure = messages[-1]
    assert isinstance(failure, Failure)
    assert failure.code is FailureCode.INVALID
    assert words in failure.message
    await served.engine.until_closed("session-0")
    assert served.engine.engine.sessions == 1
    served.engine.release()
    await served.send_video(whole(clip, "session-1"))
    await good.hear_until(Finished)
    assert good.answer == TRUTH


async def test_an_open_that_comes_twice_is_one(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    await peer.say(opening())
    await served.send_video(whole(clip))
    await peer.hear_until(Finished)
    assert peer.answer == TRUTH


async def test_an_alien_draft_is_dropped(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    for draft_id, (epoch, base, token) in enumerate([(7, 0, 5), (0, 9, 5), (0, 0, 2**32 - 1)], start=1):
        await peer.say(Draft(draft_id, epoch, base, 99, (token,)))
    await served.send_video(whole(clip))
    finished = await peer.hear_until(Finished)
    assert peer.answer == TRUTH
    assert finished.stale_drafts >= 2


async def test_an_oversized_message_costs_its_stream(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    await peer.say(Draft(1, 0, 0, 0, (5,) * 70_000))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.hear_end()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await served.engine.until_parked("session-0")
    assert await served.works(clip)


async def test_a_session_id_has_one_stream(served: Cloud, clip: Clip) -> None:
    first = await served.opened()
    second = served.peer()
    await second.say(opening())
    (failure,) = await second.hear_end()
    assert isinstance(failure, Failure)
    assert failure.code is FailureCode.CAPACITY
    await served.send_video(whole(clip))
    await first.hear_until(Finished)
    assert first.answer == TRUTH


# --------------------------------------------------------------------------------------------------- loss and resume


@pytest.mark.parametrize("how", ["half-closed", "cancelled"])
async def test_a_stream_that_ends_without_close_parks_its_session(served: Cloud, clip: Clip, how: str) -> None:
    served.engine.hold_at = 4
    peer = await served.opened()
    await served.send_video(whole(clip))
    await peer.hear_tokens(4)
    if how == "half-closed":
        await peer.call.done_writing()
        assert await peer.hear_end() == []
    else:
        peer.call.cancel()
    await served.engine.until_parked("session-0")
    assert served.engine.engine.sessions == 1
    again = served.peer()
    await again.say(opening(epoch=1, committed=tuple(peer.answer[:2])))
    again.answer = peer.answer[:2]
    opened = await again.hear_until(Opened)
    assert (opened.committed_length, opened.video_needed) == (4, False)
    served.engine.release()
    await again.hear_until(Finished)
    assert again.answer == TRUTH


async def test_a_resume_takes_over_a_stream_that_still_hangs(served: Cloud, clip: Clip) -> None:
    served.engine.hold_at = 3
    old = await served.opened()
    await served.send_video(whole(clip))
    await old.hear_tokens(3)
    new = served.peer()
    await new.say(opening(epoch=1, committed=tuple(old.answer)))
    new.answer = list(old.answer)
    await new.hear_until(Opened)
    assert await old.hear_end() == []
    served.engine.release()
    await new.hear_until(Finished)
    assert new.answer == TRUTH
    await new.say(Close())
    await served.engine.until_closed("session-0")
    assert served.engine.engine.sessions == 0


async def test_when_the_engine_dies_all_are_told_to_come_back(served: Cloud, clip: Clip) -> None:
    served.engine.hold_at = 2
    peer = await served.opened()
    await served.send_video(whole(clip))
    await peer.hear_tokens(2)
    served.engine.die()
    failure = (await peer.hear_end())[-1]
    assert isinstance(failure, Failure)
    assert (failure.code, failure.retryable) == (FailureCode.UNAVAILABLE, True)
    early = served.peer()
    await early.say(opening(epoch=1, committed=tuple(peer.answer)))
    (failure,) = await early.hear_end()
    assert isinstance(failure, Failure)
    assert failure.retryable
    served.engine.revive()
    served.engine.release()
    again = await served.opened(epoch=2, committed=tuple(peer.answer))
    again.answer = list(peer.answer)
    await served.send_video(whole(clip))
    await again.hear_until(Finished)
    assert again.answer == TRUTH


async def test_a_daemon_that_goes_down_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as served:
        served.daemon._service.draining.begin(60.0)
        peer = served.peer()
        await peer.say(opening())
        (failure,) = await peer.hear_end()
        assert isinstance(failure, Failure)
        assert (failure.code, failure.retryable) == (FailureCode.UNAVAILABLE, True)
        assert "going down" in failure.message


async def test_a_port_in_use_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as served:
        with pytest.raises(SettingsError, match="is another daemon there"):
            async with serving(monkeypatch, listen=served.daemon.address):
                raise AssertionError("two daemons on one port")


# ------------------------------------------------------------------------------------------------------------- video


async def test_a_video_for_nobody(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    async with serving(monkeypatch, open_timeout_s=0.1) as served:
        code, words = await served.refused_video(whole(clip, "no-such-session"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "no such session" in words


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "an empty video stream"),
        ([b"\xff\xff"], "the bytes don't parse"),
        ([b""], "begins with its session id and header"),
        ([codec.encode_video_packets([VideoPacket(0, 0, 0, True, b"x")])], "begins with its session id and header"),
        ([codec.encode_video_header("", VideoHeader("h264", b"", 8, 8, 1, 1, 10))], "begins with its session id"),
    ],
)
async def test_a_video_that_begins_badly(served: Cloud, messages: list[bytes], words: str) -> None:
    code, said = await served.refused_video(messages)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in said


async def test_a_video_that_breaks_off_may_be_sent_again(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    code, words = await served.refused_video(list(whole(clip))[:4])
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "ended after 3 of 6 packets" in words
    await served.send_video(whole(clip))
    await peer.hear_until(Finished)
    assert peer.answer == TRUTH


def header(clip: Clip, **changes: Any) -> bytes:
    values = {name: getattr(clip.header, name) for name in VideoHeader.__dataclass_fields__}
    return codec.encode_video_header("session-0", VideoHeader(**{**values, **changes}))


def hostile_videos(clip: Clip) -> dict[str, tuple[list[bytes], str]]:
    packets = list(clip.packets())
    far = replace(packets[0], pts=10**13, dts=10**13)
    broken = VideoPacket(0, packets[0].pts, packets[0].dts, True, b"\x00" * 64)
    return {
        "a codec that isn't taken": ([header(clip, codec="ansi")], "isn't taken"),
        "a codec's wrapper": ([header(clip, codec="h264_v4l2m2m")], "isn't taken"),
        "no frames": ([header(clip, frames=0)], "0 frames"),
        "too many frames": ([header(clip, frames=2**32 - 1)], "frames"),
        "too large": ([header(clip, width=2**31, height=2**31)], "pixels"),
        "too long for its size": ([header(clip, width=4096, height=4096, frames=20_000)], "pixels in all its frames"),
        "damaged": ([header(clip), codec.encode_video_packets([broken])], ""),
        "times that can't be": (
            [header(clip, time_base_num=1, time_base_den=1), codec.encode_video_packets([far])],
            "285 years from its zero",
        ),
        "more than announced": (
            [header(clip, frames=1), codec.encode_video_packets(packets)],
            "more",
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "a codec that isn't taken",
        "a codec's wrapper",
        "no frames",
        "too many frames",
        "too large",
        "too long for its size",
        "damaged",
        "times that can't be",
        "more than announced",
    ],
)
async def test_a_hostile_video_fails_its_session_only(served: Cloud, clip: Clip, name: str) -> None:
    messages, words = hostile_videos(clip)[name]
    peer = await served.opened()
    code, said = await served.refused_video(messages)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in said
    failure = await peer.hear_until(Failure)
    assert failure.code is FailureCode.VIDEO
    assert words in failure.message
    assert not failure.retryable
    assert served.engine.engine.sessions == 0
    assert await served.works(clip)


async def test_a_video_over_the_limit_is_told_to_its_session(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    size = sum(len(m) for m in whole(clip))
    async with serving(monkeypatch, max_video_bytes=size - 1) as served:
        peer = await served.opened()
        code, said = await served.refused_video(whole(clip))
        assert code is grpc.StatusCode.INVALID_ARGUMENT  # trying again can't help
        assert f"at most {size - 1} bytes" in said
        failure = await peer.hear_until(Failure)
        assert failure.code is FailureCode.VIDEO
        assert said == failure.message


# ------------------------------------------------------------------------------------------ features of an edge's own


def features(
    session_id: str = "session-0",
    *,
    mark: str = "fake-vision",
    frames: int = VIDEO_FRAMES,
    shape: tuple[int, int] = (TOKENS_PER_FRAME, FakeRunner.hidden_size),
) -> Iterator[bytes]:
    yield codec.encode_features_header(session_id, FeaturesHeader(mark, frames))
    for index in range(frames):
        tensor = Tensor("float32", shape, bytes(4 * shape[0] * shape[1]))
        yield codec.encode_features((FrameFeatures(index, tensor),))


async def test_features_stand_in_for_the_video(served: Cloud, clip: Clip) -> None:
    peer = await served.opened()
    frames, size = await served.send_video(features())
    assert (frames, size) == (VIDEO_FRAMES, sum(len(message) for message in features()))
    await peer.hear_until(Finished)
    await peer.say(Close())
    assert await peer.hear_end() == []
    assert peer.answer == TRUTH
    assert await served.works(clip)


@pytest.mark.parametrize(
    ("messages", "status", "words"),
    [
        (lambda: features(mark="another"), grpc.StatusCode.FAILED_PRECONDITION, "another model's"),
        (lambda: features(frames=VIDEO_FRAMES + 1), grpc.StatusCode.FAILED_PRECONDITION, "looks at"),
        (lambda: features(shape=(5, 5)), grpc.StatusCode.INVALID_ARGUMENT, "must be float32"),
        (lambda: list(features())[:-1], grpc.StatusCode.UNAVAILABLE, "ended after 1 of 2"),
        (lambda: [*features(), *list(features())[1:]], grpc.StatusCode.INVALID_ARGUMENT, "frame 0 came where 2"),
        (lambda: features("no-such-session"), grpc.StatusCode.NOT_FOUND, "no such session"),
    ],
)
async def test_features_that_dont_fit_are_refused_and_may_be_sent_right(
    monkeypatch: pytest.MonkeyPatch, messages: Any, status: grpc.StatusCode, words: str
) -> None:
    async with serving(monkeypatch, open_timeout_s=0.3) as served:
        peer = await served.opened()
        code, said = await served.refused_video(messages())
        assert code is status
        assert words in said
        await served.send_video(features())
        await peer.hear_until(Finished)
        assert peer.answer == TRUTH


async def test_features_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, max_video_bytes=100) as served:
        peer = await served.opened()
        code, said = await served.refused_video(features())
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "at most 100 bytes" in said
        failure = await peer.hear_until(Failure)
        assert failure.code is FailureCode.VIDEO
