"""A checksum behind every message of a stream, so that a byte damaged on the way is noticed and never becomes a token.

TCP's own checksum misses about one damaged segment in 65,536, and boxes in between recompute it; where TLS is on, this
costs a microsecond a message and changes nothing. Who seals says so in the call's metadata (`METADATA`), so that peers
without it are understood as they are. The bytes are a field of the contract (`checksum`, number 15, fixed32), so that a
sealed message is still a message: CRC-32 over all that stands before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any
from zlib import crc32

from common.errors import LinkError

METADATA = ("eventspec-sealed", "1")
_TAG = bytes([15 << 3 | 5])
_SIZE = len(_TAG) + 4


class DamagedError(LinkError):
    """A message isn't what its sender sent. The stream is as good as lost; a resume helps."""


def seal(data: bytes) -> bytes:
    """The message with its checksum behind it."""
    return data + _TAG + crc32(data).to_bytes(4, "little")


def unseal(data: bytes) -> bytes:
    """The message without its checksum.

    Raises:
        DamagedError: it has none, or another.
    """
    body, end = data[:-_SIZE], data[-_SIZE:]
    if end != _TAG + crc32(body).to_bytes(4, "little"):
        raise DamagedError("a message was damaged on its way; the stream begins anew")
    return body


def is_sealed(metadata: Iterable[Any] | None) -> bool:
    """Whether a peer's metadata says that it seals."""
    return METADATA in ((key, value) for key, value in metadata or ())


async def unsealed(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The messages without their checksums. Raises DamagedError."""
    async for data in messages:
        yield unseal(data)
