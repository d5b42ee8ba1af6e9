"""What one client may do at a time: counts, rates, manners; turns at decoding; and a daemon that keeps to it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.admission import Admission, ClientLimits
from cloud.turns import FairTurns
from common import codec
from common.access import Scope
from common.allowance import Allowance
from common.errors import CapacityError
from common.live import LiveWindow
from common.types import Draft, Failure, FailureCode, Opened
from common.video import LEAST_PIECE, VideoHeader, VideoPacket
from edge.video import Clip
from tests.cloud.test_security import EDGE, Tokens, peers, tokens
from tests.cloud.test_service import TRUTH, clip, opening, serving, whole

__all__ = ["clip", "tokens"]  # fixtures
LIMITS = ClientLimits(calls=2, video_bytes_per_s=100.0, strikes=3)


def test_calls_are_counted_for_each_client() -> None:
    admission = Admission(LIMITS)
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(admission.call("=a", 0.0))
        with pytest.raises(CapacityError) as caught, admission.call("=a", 0.0):
            raise AssertionError("a third call")
        assert caught.value.retry_after_ms > 0
        with admission.call("=b", 0.0):
            pass
    with admission.call("=a", 0.0):
        pass


def test_who_sends_nonsense_waits_longer_each_time() -> None:
    admission, now, waits = Admission(LIMITS), 0.0, []
    for _ in range(3):
        for _ in range(3):
            with admission.call("=bad", now):
                admission.strike("=bad", now)
        with pytest.raises(CapacityError) as caught, admission.call("=bad", now):
            raise AssertionError("it may not come in")
        waits.append(caught.value.retry_after_ms)
        now += caught.value.retry_after_ms / 1e3
        with admission.call("=good", now):
            pass
    assert waits[0] < waits[1] < waits[2]


def test_rare_nonsense_and_nameless_ones_are_forgiven() -> None:
    admission = Admission(LIMITS)
    for number in range(10):
        admission.strike("=clumsy", number * 40.0)
        admission.strike("@10.0.0.1", 0.0)
    for client in ("=clumsy", "@10.0.0.1"):
        with admission.call(client, 400.0):
            pass


@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(0, 5)), min_size=1, max_size=50))
def test_a_rate_is_kept_by_who_waits(taken: list[tuple[float, float]]) -> None:
    allowance, now, total = Allowance(10.0, 20.0), 0.0, 0.0
    for amount, pause in taken:
        total += amount
        now += pause + allowance.take(amount, now + pause)
        assert total <= 20.0 + 10.0 * now + 1e-6
    assert allowance.full(now + 1e6)


def test_clients_that_left_are_forgotten() -> None:
    admission = Admission(LIMITS)
    for number in range(25_000):
        admission.video(f"@{number}", 1, number * 1.0)
    assert len(admission) <= 10_001


async def test_turns_go_to_who_has_had_least() -> None:
    clock = [0.0]
    turns, order = FairTurns(1, clock=lambda: clock[0]), []

    async def work(client: str) -> None:
        async with turns.turn(client):
            order.append(client)
            clock[0] += 1.0
            await asyncio.sleep(0)

    await asyncio.gather(*(work("many") for _ in range(6)), work("few"), work("few"))
    assert order.index("few") <= 2
    assert order[:5].count("few") == 2


async def test_a_turn_that_is_given_up_is_free_again() -> None:
    turns = FairTurns(1)
    async with turns.turn("a"):
        waiting = [asyncio.create_task(_enter(turns)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()  # at the moment at which it is granted
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting, return_exceptions=True)
        await _enter(turns)


@pytest.mark.parametrize("pauses", range(4))
async def test_turns_that_are_given_up_as_they_are_granted(pauses: int) -> None:
    """Whichever comes first, the grant or the giving up: no place is lost."""
    turns = FairTurns(2)
    waiting = []
    async with turns.turn("a"), turns.turn("a"):
        waiting = [asyncio.create_task(_enter(turns)) for _ in range(6)]
        await asyncio.sleep(0.01)
        for task in waiting[:4]:
            task.cancel()
        for _ in range(pauses):
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting, return_exceptions=True)
        async with turns.turn("a"), turns.turn("b"):
            pass
    assert turns._free == 2


async def _enter(turns: FairTurns) -> None:
    async with turns.turn("b"):
        await asyncio.sleep(0)


# --------------------------------------------------------------------------------------------------------- the daemon


async def test_calls_over_the_limit_are_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    async with serving(monkeypatch, calls_per_client=2) as served:
        first = await served.opened("session-1")
        second = await served.opened("session-2")
        third = served.peer()
        await third.say(opening("session-3"))
        (failure,) = await third.hear_end()
        assert isinstance(failure, Failure)
        assert (failure.code, failure.retryable) == (FailureCode.CAPACITY, True)
        assert failure.retry_after_ms > 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.send_video(whole(clip, "session-1"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for peer in (first, second):
            peer.call.cancel()


async def test_a_flood_of_drafts_costs_its_session(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    async with serving(monkeypatch, drafts_in_flight=20) as served:
        served.engine.waits_for_draft = True
        good, peer = await served.opened("session-1"), await served.opened()
        await peer.say(*(Draft(number, 0, 0, 9, (5,)) for number in range(1, 22)))
        failure = (await peer.hear_end())[-1]
        assert isinstance(failure, Failure)
        assert (failure.code, failure.retry_after_ms > 0) == (FailureCode.CAPACITY, True)
        assert "more than 20 drafts" in failure.message
        await served.engine.until_closed("session-0")
        await good.say(Draft(1, 0, 0, 0, tuple(TRUTH[:3])))
        await served.send_video(whole(clip, "session-1"))
        await good.hear_tokens(len(TRUTH))
        assert good.answer == TRUTH


@pytest.mark.parametrize("size", [40_000, 400_000])
async def test_a_question_is_measured_before_it_is_read(monkeypatch: pytest.MonkeyPatch, clip: Clip, size: int) -> None:
    async with serving(monkeypatch, max_message_bytes=8 << 20) as served:
        peer = served.peer()
        await peer.say(opening(question="x" * size))
        (failure,) = await peer.hear_end()
        assert isinstance(failure, Failure)
        assert failure.code is FailureCode.INVALID
        assert not served.engine.taken, "the engine, and its tokenizer, never saw it"


async def test_a_message_of_nothing_but_packets(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    """8 MB of empty packets took the front half a minute of objects."""
    async with serving(monkeypatch, max_message_bytes=8 << 20, max_video_bytes=64 << 20) as served:
        await served.opened()
        header = codec.encode_video_header("session-0", clip.header)
        began = asyncio.get_running_loop().time()
        code, said = await served.refused_video([header, b"\x1a\x00" * (3 << 20)])
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "too many parts" in said
        assert asyncio.get_running_loop().time() - began < 5


async def test_a_live_stream_comes_as_fast_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no length that could be bounded: its bytes a second are, and its packets and pieces cost bytes too."""
    live = VideoHeader("h264", b"", 64, 48, 0, 1, 1_000_000, ahead=True, acknowledge=True, live=LiveWindow(100_000, 8))
    piece = VideoPacket(0, 0, 0, True, bytes(LEAST_PIECE), continued=True)
    async with serving(monkeypatch, live_bytes_per_s=50_000) as served:
        call = served.channel.stream_stream(f"/{codec.SERVICE}/StreamVideo")()
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(30):
            await call.write(codec.encode_video_header("clip-0000", live))
            await call.read()
            for _ in range(4):  # 51 KB of bytes each, and 26 KB of pieces; four seconds' worth may come at once
                await call.write(codec.encode_video_packets([piece] * 100))
                await call.read()
        assert asyncio.get_running_loop().time() - began > 1.5
        call.cancel()


async def test_video_comes_as_fast_as_it_may(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    size = sum(len(message) for message in whole(clip))
    async with serving(monkeypatch, video_bytes_per_s=max(1, size // 3)) as served:
        peer = await served.opened()
        began = asyncio.get_running_loop().time()
        await served.send_video(whole(clip))
        took = asyncio.get_running_loop().time() - began
        assert took > 1.0, "a second's worth at once, the rest at the rate"
        await peer.hear_tokens(len(TRUTH))
        assert peer.answer == TRUTH


async def test_who_keeps_sending_nonsense_has_to_wait(
    monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip
) -> None:
    bad, good = tokens.add("bad", "bad", *EDGE), tokens.add("good", "good", Scope.SPECULATE, Scope.VIDEO)
    async with serving(monkeypatch, tokens=str(tokens.path)) as served:  # noqa: SIM117
        async with peers(served, bad) as hostile, peers(served, good) as honest:
            codes = []
            for _ in range(12):
                peer = hostile.peer()
                await peer.say(b"\xff\xff\xff")
                (failure,) = await peer.hear_end()
                assert isinstance(failure, Failure)
                codes.append(failure.code)
            assert codes == [FailureCode.INVALID] * 10 + [FailureCode.CAPACITY] * 2
            assert isinstance(failure, Failure)
            assert failure.retry_after_ms > 1_000
            assert await honest.works(clip)


async def test_a_slow_reader_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch, clip: Clip) -> None:
    """A peer that opens, and then never reads: the front holds a bounded outbox, and the others go on."""
    async with serving(monkeypatch) as served:
        peer = served.peer()
        await peer.say(opening())
        await peer.hear_until(Opened)
        stream = served.daemon._streams._streams["session-0"]
        reply = codec.encode_cloud_message(Failure(FailureCode.INVALID, "x" * 60_000))
        for _ in range(3_000):  # 180 MB, were they kept
            served.daemon._streams.deliver("session-0", reply)
        assert stream.outbox.qsize() <= 1024
        for _ in range(50):
            await asyncio.sleep(0)
        assert await served.works(clip, "session-1")


async def test_clips_take_their_clients_share(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, clip: Clip) -> None:
    greedy, honest = tokens.add("g", "greedy", *EDGE), tokens.add("h", "honest", *EDGE)
    async with serving(monkeypatch, tokens=str(tokens.path), sessions_per_client=2) as served:  # noqa: SIM117
        async with peers(served, greedy) as many, peers(served, honest) as one:
            for number in range(4):
                header = codec.encode_video_header(f"clip-000{number}", replace(clip.header, ahead=True))
                await many.send_video([header, *(codec.encode_video_packets([p]) for p in clip.packets())])
            assert served.engine.engine.sessions <= 2
            assert isinstance(await _first(one.peer(), opening()), Opened)


async def _first(peer: object, message: object) -> object:
    await peer.say(message)  # type: ignore[attr-defined]
    return await peer.hear()  # type: ignore[attr-defined]


def test_keys_and_values_have_a_limit() -> None:
    from cloud.config import EngineSettings
    from cloud.loading import load_engine
    from common.errors import ModelError
    from common.padding import Padding

    with pytest.raises(ModelError, match="max_kv_bytes is 1,000,000"):
        load_engine(EngineSettings(sessions=4, max_kv_bytes=1_000_000), Padding())


def test_the_bytes_that_are_foretold_are_those_taken() -> None:
    from cloud.target import VideoLlavaTarget
    from common.packed import KVStorage
    from common.shipped import shipped_target

    model = VideoLlavaTarget.from_pretrained(shipped_target()).language_model
    storage = KVStorage.for_model(model, slots=3, capacity=40)
    assert KVStorage.bytes_for(model, slots=3, capacity=40) == storage.bytes


def test_limits_are_checked(tmp_path: Path) -> None:
    from cloud.config import CloudSettings
    from common.errors import SettingsError

    for name in ("calls_per_client", "connections", "messages_per_s", "drafts_in_flight", "video_bytes_per_s"):
        with pytest.raises(SettingsError, match=name):
            CloudSettings(**{name: 0})  # type: ignore[arg-type]
