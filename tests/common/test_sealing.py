"""Checksums behind messages: whatever single byte, or burst of them, is damaged, it is noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import codec
from common.failures import failure_of
from common.sealing import METADATA, DamagedError, is_sealed, seal, unseal, unsealed
from common.types import Commit, FailureCode


@given(st.binary(max_size=200))
def test_what_is_sealed_comes_back(data: bytes) -> None:
    assert unseal(seal(data)) == data


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0), st.binary(min_size=1, max_size=4))
def test_any_damage_of_up_to_32_bits_is_noticed(data: bytes, where: int, noise: bytes) -> None:
    sealed = bytearray(seal(data))
    at = where % len(sealed)
    before = bytes(sealed)
    for offset, value in enumerate(noise[: len(sealed) - at]):
        sealed[at + offset] ^= value
    if bytes(sealed) == before:
        assert unseal(bytes(sealed)) == data
    else:
        with pytest.raises(DamagedError):
            unseal(bytes(sealed))


@given(st.binary(max_size=60), st.integers(1, 60))
def test_a_message_cut_short_is_noticed(data: bytes, cut: int) -> None:
    with pytest.raises(DamagedError):
        unseal(seal(data)[:-cut] if cut <= len(data) + 5 else b"")


def test_a_sealed_message_is_still_a_message_of_the_contract() -> None:
    commit = Commit(3, (5, 6))
    assert codec.decode_cloud_message(seal(codec.encode_cloud_message(commit))) == commit


def test_damage_is_a_lost_link_to_the_peer() -> None:
    failure = failure_of(DamagedError("damaged"))
    assert (failure.code, failure.retryable) == (FailureCode.UNAVAILABLE, True)


def test_who_seals_says_so() -> None:
    assert is_sealed([("a", "b"), METADATA])
    assert not is_sealed(None)
    assert not is_sealed([("eventspec-sealed", "0")])


async def test_a_stream_of_messages() -> None:
    async def incoming() -> AsyncIterator[bytes]:
        yield seal(b"one")
        yield b"two"

    messages = unsealed(incoming())
    assert await anext(messages) == b"one"
    with pytest.raises(DamagedError):
        await anext(messages)
