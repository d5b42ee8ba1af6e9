"""Asking the edge's daemon over a line that damages bytes: nothing wrong is shown, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from benchmarks.faults.flips.flipping import Aim, AimedFlips
from benchmarks.faults.flips.frames import Span
from benchmarks.faults.tcp_relay import TcpRelay
from common import codec
from common.ask import Answer, AskEvent, AskRequest, Notice, Report, WatchRequest, WatchState
from common.errors import InputError, LinkError, PromptError
from edge.asking import ask_daemon, daemon_status
from edge.reconnecting import LostDaemonError, Silence
from edge.service import EdgeService

TEXT = "a dog runs"
NAME = "0123456789abcdef"


class Desk:
    """Answers at once, or when `begin` is set; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AskRequest] = []
        self.begin = asyncio.Event()
        self.begin.set()

    async def answer(self, ask: AskRequest) -> AsyncGenerator[AskEvent, None]:
        self.asked.append(ask)
        if ask.question == "refuse":
            raise PromptError("not this one")
        await self.begin.wait()
        for end in range(1, len(TEXT) + 1):
            yield Answer(TEXT[:end], "", 1.0)
        yield Report({"answer": TEXT})

    async def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        raise NotImplementedError
        yield


@asynccontextmanager
async def served(aim: Aim = lambda way, span, data: None) -> AsyncIterator[tuple[str, Desk, AimedFlips, str]]:
    """The service behind a relay, its desk, the flips, and its address without the relay."""
    desk = Desk()
    service = EdgeService(desk, drafter="d", cloud="c", sessions=9)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.handlers(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    flips = AimedFlips(aim)
    relay = TcpRelay(address, flips.changing)
    try:
        yield relay.listen("127.0.0.1"), desk, flips, address
    finally:
        relay.close()
        await server.stop(0)


async def ask(address: str, answer_id: str = "", question: str = "what?", reconnect_s: float = 20.0) -> list[AskEvent]:
    request = AskRequest(question, answer_id=answer_id)
    return await asyncio.to_thread(lambda: list(ask_daemon(address, request, reconnect_s=reconnect_s)))


def nth(way: str, number: int, where: Callable[[bytes], int | None]) -> Aim:
    """One bit in the payload of a DATA frame."""

    def aim(w: str, span: Span, data: bytes) -> int | None:
        here = (w, span.kind, span.part, span.number) == (way, "DATA", "payload", number)
        return where(data) if here and not struck else None

    struck: list[int] = []

    def once(w: str, span: Span, data: bytes) -> int | None:
        bit = aim(w, span, data)
        struck.extend([] if bit is None else [bit])
        return bit

    return once


@pytest.mark.parametrize("number", [0, 3])
async def test_a_letter_of_the_answer_that_another_bit_makes_another_is_never_shown(number: int) -> None:
    aim = nth("down", number, lambda data: 8 * data.find(b"dog") if b"dog" in data else 8 * data.find(b"a"))
    async with served(aim) as (address, _, flips, _):
        events = await ask(address, NAME)
        assert flips.flips == 1
        assert all(TEXT.startswith(event.committed_text) for event in events if isinstance(event, Answer))
        assert any(isinstance(event, Notice) for event in events)
        assert isinstance(events[-1], Report)


async def test_a_damaged_question_is_asked_again_and_never_answered() -> None:
    aim = nth("up", 0, lambda data: 8 * data.find(b"what"))
    async with served(aim) as (address, desk, flips, _):
        assert isinstance((await ask(address, NAME))[-1], Report)
        assert flips.flips == 1
        assert {one.question for one in desk.asked} == {"what?"}


async def test_without_a_name_damage_is_a_lost_daemon() -> None:
    async with served(nth("down", 2, lambda data: 50)) as (address, _, flips, _):
        with pytest.raises(LostDaemonError):
            await ask(address)
        assert flips.flips == 1


async def test_a_refusal_arrives_as_such() -> None:
    async with served() as (address, _, _, _):
        with pytest.raises(InputError, match="not this one"):
            await ask(address, question="refuse")


async def test_who_asks_without_checksums_is_answered_without_and_has_names_of_its_own() -> None:
    async with served() as (_, desk, _, direct):
        async with grpc.aio.insecure_channel(direct) as channel:
            call = channel.unary_stream(f"/{codec.EDGE_SERVICE}/Ask")(
                codec.encode_ask(AskRequest("what?", answer_id=NAME))
            )
            events = [codec.decode_ask_event(data) async for data in call]
        assert events[-1] == Report({"answer": TEXT})
        await ask(direct, NAME)
        first, second = (one.answer_id for one in desk.asked)
        assert first != second == NAME


async def test_a_quiet_daemon_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """To who seals; an asker that hears none for long takes the call for lost."""
    monkeypatch.setattr("edge.service.SIGN_S", 0.05)
    monkeypatch.setattr("edge.reconnecting.Silence.__init__.__defaults__", (0.5,))
    async with served() as (address, desk, _, _):
        desk.begin.clear()
        asyncio.get_running_loop().call_later(1.5, desk.begin.set)
        assert isinstance((await ask(address))[-1], Report)
        assert len(desk.asked) == 1
        monkeypatch.setattr("edge.service.SIGN_S", 60.0)
        desk.begin.clear()
        with pytest.raises(LinkError):
            await ask(address)


def test_silence_ends_a_call_once() -> None:
    ended = threading.Event()
    silence = Silence(ended.set, 0.2)
    assert ended.wait(5.0)
    silence.close()


async def test_the_status_is_sealed() -> None:
    async with served(nth("down", 0, lambda data: 8 * 7)) as (address, _, flips, direct):
        with pytest.raises(LinkError):
            await asyncio.to_thread(daemon_status, address)
        assert flips.flips == 1
        assert (await asyncio.to_thread(daemon_status, direct)).cloud == "c"
