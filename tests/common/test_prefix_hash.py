"""The prefix hash: a CRC-32 of the tokens' bytes, whichever way it is put together."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.prefix_hash import EMPTY, extend_hash, prefix_hash

TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=40)


@settings(derandomize=True, deadline=None)
@given(TOKENS)
def test_is_the_crc_of_little_endian_words(tokens: list[int]) -> None:
    assert prefix_hash(tokens) == crc32(np.asarray(tokens, dtype="<u4").tobytes())


@settings(derandomize=True, deadline=None)
@given(TOKENS, TOKENS)
def test_extends_token_by_token(first: list[int], then: list[int]) -> None:
    assert extend_hash(prefix_hash(first), then) == prefix_hash([*first, *then])


def test_of_nothing_is_empty() -> None:
    assert prefix_hash([]) == EMPTY
    assert extend_hash(77, []) == 77


def test_tells_prefixes_apart() -> None:
    prefixes = [[], [0], [0, 0], [1], [1, 2], [2, 1], [258], [1, 2, 3], [3, 2, 1]]
    assert len({prefix_hash(p) for p in prefixes[1:]}) == len(prefixes) - 1
