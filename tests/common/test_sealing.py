"""Checksums behind messages: whatever is damaged, lost, doubled, swapped or another call's, it is noticed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import codec
from common.failures import failure_of
from common.sealing import Callee, Caller, DamagedError
from common.types import Commit, FailureCode, Open, ServerInfo

PATH = "/a.Service/Method"


def call(first: bytes = b"first", path: str = PATH) -> tuple[Caller, Callee]:
    """The two sides of a call whose first request has come."""
    caller, callee = Caller(path), Callee(path)
    assert callee.open(caller.seal(first)) == first
    assert callee.sealed
    return caller, callee


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6))
def test_what_is_sealed_comes_back(bodies: list[bytes]) -> None:
    caller, callee = Caller(PATH), Callee(PATH)
    assert [callee.open(caller.seal(body)) for body in bodies] == bodies
    assert [caller.open(callee.seal(body)) for body in bodies] == bodies


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0), st.binary(min_size=1, max_size=4))
def test_any_damage_of_up_to_32_bits_is_noticed(data: bytes, where: int, noise: bytes) -> None:
    caller, callee = call()
    sealed = bytearray(callee.seal(data))
    at = where % len(sealed)
    before = bytes(sealed)
    for offset, value in enumerate(noise[: len(sealed) - at]):
        sealed[at + offset] ^= value
    if bytes(sealed) == before:
        assert caller.open(bytes(sealed)) == data
    else:
        with pytest.raises(DamagedError):
            caller.open(bytes(sealed))


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(1, 60))
def test_a_message_cut_short_is_noticed(data: bytes, cut: int) -> None:
    caller, callee = call()
    with pytest.raises(DamagedError):
        caller.open(callee.seal(data)[:-cut] if cut <= len(data) + 5 else b"")


def test_a_sealed_message_is_still_a_message_of_the_contract() -> None:
    _, callee = call()
    commit = Commit(3, (5, 6))
    assert codec.decode_cloud_message(callee.seal(codec.encode_cloud_message(commit))) == commit
    info = ServerInfo(1, "model", "print", "hash", 50, 4, 2, (2,), 1, 2, 3, 4, 5, 6, replay="has the same number")
    assert codec.decode_info(callee.seal(codec.encode_info(info))) == info


def test_damage_is_a_lost_link_to_the_peer() -> None:
    failure = failure_of(DamagedError())
    assert (failure.code, failure.retryable) == (FailureCode.UNAVAILABLE, True)


def test_who_seals_takes_nothing_that_isnt_sealed() -> None:
    caller, callee = Caller(PATH), Callee(PATH)
    with pytest.raises(DamagedError):  # not even before it has said anything
        caller.open(Callee(PATH).seal(b"reply"))
    callee.open(caller.seal(b"request"))
    with pytest.raises(DamagedError):
        caller.open(b"reply")
    with pytest.raises(DamagedError):
        callee.open(b"request")


def test_who_doesnt_seal_is_understood() -> None:
    callee = Callee(PATH)
    assert [callee.open(data) for data in (b"one", b"two")] == [b"one", b"two"]
    assert not callee.sealed
    assert callee.seal(b"reply") == b"reply"


@settings(deadline=None)
@given(st.text(max_size=12))
def test_a_question_that_looks_like_a_checksum_by_chance_is_no_damage(text: str) -> None:
    message = codec.encode_edge_message(Open("session-0", "question", clip=f"{text}}}abcd"))
    assert message[-5:-4] == b"}"
    assert Callee(PATH).open(message) == message


def test_a_damaged_first_request_is_hardly_ever_taken_for_one_without_a_checksum_and_never_for_one_with() -> None:
    message = codec.encode_edge_message(Open("session-0", "question"))
    sealed = Caller(PATH).seal(message)
    understood = 0
    for bit in range(8 * len(sealed)):
        hurt = bytearray(sealed)
        hurt[bit // 8] ^= 1 << bit % 8
        callee = Callee(PATH)
        with contextlib.suppress(DamagedError):
            assert callee.open(bytes(hurt)) == hurt
            understood += 1
        assert not callee.sealed
    assert understood <= 12  # eight bits of the field's number, and lengths that reach just into it


def test_another_calls_message_is_damage() -> None:
    caller, callee = call(b"first")
    other_caller, other_callee = call(b"other")
    with pytest.raises(DamagedError):
        callee.open(other_caller.seal(b"the same"))
    with pytest.raises(DamagedError):
        caller.open(other_callee.seal(b"the same"))
    with pytest.raises(DamagedError):
        Callee("/a.Service/Other").open(Caller(PATH).seal(codec.encode_edge_message(Open("session-0", "question"))))


@pytest.mark.parametrize("order", [[1, 2], [0, 2], [0, 0], [1, 0]])
def test_lost_doubled_and_swapped_messages_are_damage(order: list[int]) -> None:
    caller, callee = call()
    requests, replies = [[side.seal(b"the same") for _ in range(3)] for side in (caller, callee)]
    for side, sealed in ((callee, requests), (caller, replies)):
        opened = 0
        with contextlib.suppress(DamagedError):
            for place in order:
                side.open(sealed[place])
                opened += 1
        assert opened == (order[0] == 0)


@pytest.mark.parametrize("marked", [True, False])
async def test_the_end_of_an_upload_is_marked(marked: bool) -> None:
    caller, callee = Caller(PATH), Callee(PATH)

    async def incoming() -> AsyncIterator[bytes]:
        for body in (b"one", b"two", *[b""] * marked):
            yield caller.seal(body)

    taken = []
    try:
        async for body in callee.opened(incoming(), marked_end=True):
            taken.append(body)
    except DamagedError:
        assert not marked
    else:
        assert marked
    assert taken == [b"one", b"two"]


async def test_an_upload_without_checksums_ends_as_it_likes() -> None:
    async def incoming() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""

    assert [body async for body in Callee(PATH).opened(incoming(), marked_end=True)] == [b"one", b""]


def test_a_refusal_rests_on_what_was_seen_of_the_headers() -> None:
    metadata = (("authorization", "Bearer evs_1"), ("traceparent", "any"))
    caller = Caller(PATH, metadata)
    headers, seal = caller.starts
    assert seal is None
    assert Callee(PATH, [("other", "x"), metadata[0]]).start == headers
    assert Callee(PATH, [("authorization", "Bearer evs_0")]).start != headers
    assert Callee(PATH).start != headers
    assert Callee("/a.Service/Mathod", metadata).start != headers
    callee = Callee(PATH, metadata)
    callee.open(caller.seal(b"first"))
    assert caller.starts == (headers, callee.start)
    assert callee.start != headers
