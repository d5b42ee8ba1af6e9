"""Bits flipped in plain connections, aimed and at random: no wrong token, no final failure, no hang."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.faults.flips.answers import BAD, Ended, Question, ask
from benchmarks.faults.flips.flipping import Aim, AimedFlips, RandomFlips
from benchmarks.faults.flips.frames import FrameReader, Span
from benchmarks.faults.flips.light_cloud import LightCloud
from benchmarks.faults.flips.running import Access, Record, run_slice
from benchmarks.faults.tcp_relay import TcpRelay
from common import codec
from common.access import Scope, new_token, render_tokens
from common.errors import AuthenticationError, EventSpecError, MessageError
from common.security import Reach
from common.types import Commit
from common.watched_file import write_private
from edge.grpc_stream import Patience
from edge.link import GrpcLink, LinkSettings
from edge.worker import DraftingThread

pytestmark = pytest.mark.timeout(300)
PATIENCE = Patience(opened=3.0, token=2.0, video=3.0)
SPECULATE = f"/{codec.SERVICE}/Speculate".encode()


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10, 1_000])
def test_every_byte_is_known_for_what_it_is(step: int) -> None:
    data = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4) + frame(0, b"abc") + frame(1, b"de") + frame(0, b"f") + frame(99)
    )
    reader, seen = FrameReader("up"), list[tuple[str, str, int, int]]()
    for start in range(0, len(data), step):
        chunk = data[start : start + step]
        for span in reader.spans(chunk):
            places = range(span.at, span.at + span.stop - span.start)
            seen += [(span.kind, span.part, span.number, at) for at in places]
    assert len(seen) == len(data)
    assert seen[:24] == [("preface", "payload", 0, at) for at in range(24)]
    known = [one for one in seen[24:] if one[1] == "payload"]
    assert known == [("DATA", "payload", 0, at) for at in range(3)] + [
        *(("HEADERS", "payload", 0, at) for at in range(2)),
        ("DATA", "payload", 1, 0),
    ]
    if step >= 10:
        assert [one for one in seen if one[0] == "SETTINGS"] == [("SETTINGS", "header", 0, at) for at in range(9)]


@pytest.mark.parametrize("seed", range(5))
def test_flips_are_at_random_and_counted(seed: int) -> None:
    flips, size = RandomFlips(random.Random(seed)), 200_000
    changed = b""
    for way in ("up", "down"):
        change = flips.changing(way)
        changed += b"".join(change(bytes(100)) for _ in range(size // 100))
    assert sum(byte.bit_count() for byte in changed) == flips.flips
    assert 2 * size / 60_000 < flips.flips < 2 * size / 50


@asynccontextmanager
async def through(cloud: str, aim: Aim, token_file: str = "") -> AsyncIterator[tuple[GrpcLink, AimedFlips]]:
    """A link to the cloud, with bits flipped on the way."""
    flips = AimedFlips(aim)
    relay = TcpRelay(cloud, flips.changing)
    settings = LinkSettings(relay.listen("127.0.0.1"), reach=Reach(token_file=token_file), patience=PATIENCE)
    link = GrpcLink(settings)
    try:
        yield link, flips
    finally:
        await link.close()
        relay.close()


@pytest.fixture
async def cloud() -> AsyncIterator[str]:
    served = LightCloud()
    yield await served.start()
    await served.stop()


def once(hits: Callable[[str, Span, bytes], int | None]) -> Aim:
    """The first stretch that is hit, and no other."""
    struck = False

    def aim(way: str, span: Span, data: bytes) -> int | None:
        nonlocal struck
        bit = None if struck else hits(way, span, data)
        struck = struck or bit is not None
        return bit

    return aim


async def asked(cloud: str, aims: list[Aim], seed: int, at_once: int = 2) -> int:
    """Answers over a link each, several at once on it: all must be right. Returns how many bits were flipped."""
    draw, thread, struck = random.Random(seed), DraftingThread(), 0
    turns = asyncio.Semaphore(12)

    async def one(aim: Aim) -> None:
        nonlocal struck
        questions = [Question.drawn(draw) for _ in range(at_once)]
        async with turns, through(cloud, aim) as (link, flips):
            ended = await asyncio.gather(*(ask(q, link, thread, 60.0, give_up_s=30.0) for q in questions))
            struck += flips.flips
        assert [(end, why) for end, why in ended] == [(Ended.IDENTICAL, "")] * at_once

    try:
        await asyncio.gather(*(one(aim) for aim in aims))
    finally:
        thread.close()
    return struck


def in_commit(data: bytes) -> int | None:
    """A bit in a frame's payload that makes of a commit one with another token; None if there is no commit in it."""
    at = 0
    while at + 5 <= len(data):
        end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        message = data[at + 5 : end]
        commit = _commit(message)
        for bit in range(8 * len(message)) if commit is not None and commit.token_ids else ():
            changed = bytearray(message)
            changed[bit // 8] ^= 1 << bit % 8
            other = _commit(bytes(changed))
            if other is None or commit is None or other.start_position != commit.start_position:
                continue
            if len(other.token_ids) == len(commit.token_ids) and other.token_ids != commit.token_ids:
                return 8 * (at + 5) + bit
        at = end
    return None


def _commit(message: bytes) -> Commit | None:
    try:
        found = codec.decode_cloud_message(message)
    except MessageError:
        return None
    return found if isinstance(found, Commit) else None


async def test_no_bit_of_the_headers_switches_the_checksums_off(cloud: str) -> None:
    """One bit in the headers of the call, and one in each of its first commits, so that a token is another."""

    def both(place: int) -> Aim:
        commits = 0

        def in_headers(way: str, span: Span, data: bytes) -> int | None:
            if (way, span.kind, span.part) != ("up", "HEADERS", "payload") or SPECULATE not in data:
                return None
            named = data.find(b"eventspec-")  # what said so once
            return 8 * (named + 3) if named >= 0 else 8 * (place % len(data)) + place % 8

        headers = once(in_headers)

        def aim(way: str, span: Span, data: bytes) -> int | None:
            nonlocal commits
            if (way, span.kind, span.part) == ("down", "DATA", "payload") and commits < 3:
                bit = in_commit(data)
                commits += bit is not None
                return bit
            return headers(way, span, data)

        return aim

    struck = await asked(cloud, [both(place) for place in range(0, 400, 13)], seed=1, at_once=1)
    assert struck > 3 * 20


PARTS = [(byte, bit) for byte in range(9) for bit in (0, 3, 7)]  # length, type, flags, stream


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "SETTINGS", "WINDOW_UPDATE"])
async def test_no_bit_of_a_frames_header_counts(cloud: str, way: str, kind: str) -> None:
    def at(byte: int, bit: int, number: int) -> Aim:
        def hits(w: str, span: Span, _: bytes) -> int | None:
            here = (w, span.kind, span.part, span.number) == (way, kind, "header", number) and span.at == 0
            return 8 * byte + bit if here and span.stop - span.start > byte else None

        return once(hits)

    numbers = (0, 2) if kind in ("DATA", "HEADERS") else (0,)
    aims = [at(byte, bit, number) for byte, bit in PARTS[:: 1 if kind == "DATA" else 2] for number in numbers]
    assert await asked(cloud, aims, seed=2) >= len(aims) // 3


@pytest.mark.parametrize(
    ("way", "kind"), [("up", "SETTINGS"), ("down", "SETTINGS"), ("down", "HEADERS"), ("up", "DATA")]
)
async def test_no_bit_of_a_frames_payload_counts(cloud: str, way: str, kind: str) -> None:
    def at(place: int) -> Aim:
        def hits(w: str, span: Span, data: bytes) -> int | None:
            here = (w, span.kind, span.part, span.number) == (way, kind, "payload", place % 3)
            return 7 * place % (8 * len(data)) if here else None

        return once(hits)

    aims = [at(place) for place in range(48)]
    assert await asked(cloud, aims, seed=3) > 8


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[str, Callable[[bool], str]]]:
    """A cloud that wants a token, and files with a right and a wrong one."""
    right, entry = new_token("edge", (Scope.SPECULATE, Scope.VIDEO, Scope.INFO))
    wrong, _ = new_token("edge", (Scope.INFO,))
    write_private(tmp_path / "tokens", render_tokens([entry]))
    write_private(tmp_path / "right", right)
    write_private(tmp_path / "wrong", wrong)
    served = LightCloud(str(tmp_path / "tokens"))
    yield await served.start(), lambda good: str(tmp_path / ("right" if good else "wrong"))
    await served.stop()


async def _refused(cloud: str, token_file: str, aim: Aim) -> EventSpecError | None:
    async with through(cloud, aim, token_file) as (link, _):
        try:
            await link.info(timeout=5.0)
        except EventSpecError as error:
            return error
        return None


async def test_a_right_token_is_never_refused_for_good(guarded: tuple[str, Callable[[bool], str]]) -> None:
    """Whichever bit of a call's headers is flipped: the token's, the path's, a name's."""
    address, file = guarded

    def at(place: int) -> Aim:
        def hits(way: str, span: Span, data: bytes) -> int | None:
            here = (way, span.kind, span.part) == ("up", "HEADERS", "payload") and len(data) > 100
            return 5 * place % (8 * len(data)) if here else None

        return once(hits)

    turns, refusals = asyncio.Semaphore(16), 0

    async def one(place: int) -> None:
        nonlocal refusals
        async with turns:
            error = await _refused(address, file(True), at(place))
        assert error is None or error.retryable, error
        refusals += error is not None

    await asyncio.gather(*(one(place) for place in range(160)))
    assert refusals > 40


async def test_a_wrong_token_is_refused_in_its_own_words_or_not_at_all(
    guarded: tuple[str, Callable[[bool], str]],
) -> None:
    address, file = guarded
    undisturbed = await _refused(address, file(False), lambda way, span, data: None)
    assert isinstance(undisturbed, AuthenticationError)

    def at(place: int) -> Aim:
        def hits(way: str, span: Span, data: bytes) -> int | None:
            here = (way, span.kind, span.part) == ("down", "HEADERS", "payload")
            return 11 * place % (8 * len(data)) if here else None

        return once(hits)

    turns, lost = asyncio.Semaphore(16), 0

    async def one(place: int) -> None:
        nonlocal lost
        async with turns:
            error = await _refused(address, file(False), at(place))
        assert error is not None
        assert error.retryable or (type(error), str(error)) == (AuthenticationError, str(undisturbed))
        lost += error.retryable

    await asyncio.gather(*(one(place) for place in range(120)))
    assert lost > 40


async def test_flips_at_random(tmp_path: Path) -> None:
    record = Record(seed=11)
    await run_slice(record, Access(), answers=60)
    assert record.bad == []
    assert record.answers.total() == 60
    assert record.answers[Ended.IDENTICAL] > 15
    assert not any(record.answers[name] for name in BAD)
    assert record.flipped > 300
    kept = tmp_path / "record.json"
    kept.write_text(json.dumps(record.as_dict()))
    assert Record.read(kept, 11).as_dict() == record.as_dict()
    assert Record.read(kept, 12).slices == 0
