"""Hash of an answer's prefix: lets the cloud see at once whether a draft continues the answer that it holds.

CRC-32 over the tokens as little-endian uint32, so that it extends token by token. A collision costs time, never text:
every draft token is verified whatever its hash says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

EMPTY = 0


def extend_hash(value: int, token_ids: Iterable[int]) -> int:
    """The hash of a prefix with hash `value`, continued by `token_ids`."""
    for token in token_ids:
        value = crc32(token.to_bytes(4, "little"), value)
    return value


def prefix_hash(token_ids: Sequence[int]) -> int:
    """The hash of a whole prefix."""
    return extend_hash(EMPTY, token_ids)
