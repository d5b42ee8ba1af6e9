"""A checksum behind every message, so that a byte damaged on the way is noticed and never becomes a token.

TCP's own checksum misses about one damaged segment in 65,536, and boxes in between recompute it; where TLS is on, this
costs two microseconds a message and changes nothing. The checksum is a field of the contract (`checksum`, number 15,
fixed32, the last one), so that a sealed message is still a message.

    seal of a call          CRC-32 over its path, the number 0 and the first request; it is that request's checksum
    of all other messages   CRC-32 that goes on from the call's seal, over the message's number and the message

So a reply that checks proves that the peer got exactly this call's first request, that the reply is this call's and no
other's on the same connection, and that nothing between is missing, doubled or swapped. Whether a call is sealed is
told by its first request alone, which is itself checked; headers can't switch it off. Who seals takes sealed replies
only. A peer that doesn't seal is understood as it is, and never meets the sessions of those who do.

A failure's status is checked in the same way (`common/rpc.py`): it goes on from the call's seal or, if it was refused
before its first request was read, from the path and the token that the refusing side saw.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any
from zlib import crc32

from common.access import AUTHORIZATION
from common.errors import LinkError
from common.varint import varint

_TAG = bytes([15 << 3 | 5])
_SIZE = len(_TAG) + 4
_REPLY = 1 << 31  # in a reply's number


class DamagedError(LinkError):
    """A message isn't what its sender sent. The stream is as good as lost; a resume helps."""

    def __init__(self, message: str = "a message was damaged on its way; the stream begins anew") -> None:
        super().__init__(message)


def _sealed(body: bytes, number: int, start: int) -> int:
    return crc32(body, crc32(number.to_bytes(4, "little"), start))


def _closed(body: bytes, checksum: int) -> bytes:
    return body + _TAG + checksum.to_bytes(4, "little")


def _refusal(path: str, metadata: Iterable[Any] | None) -> int:
    """From what a refusal's checksum goes on that rests on a call's headers alone: on what the refusing side saw."""
    shown = [value for key, value in metadata or () if key == AUTHORIZATION]
    token = "\0".join(value if isinstance(value, str) else value.decode("latin-1") for value in shown)
    return crc32(f"{path}\0{token}".encode())


class Caller:
    """The seals of one call, as the side keeps them that makes it. `metadata` is what the call is made with."""

    def __init__(self, path: str, metadata: Iterable[Any] | None = ()) -> None:
        self._start = crc32(path.encode())
        self._refusal = _refusal(path, metadata)
        self._seal: int | None = None
        self._requests = self._replies = 0

    def seal(self, body: bytes) -> bytes:
        """The next request, with its checksum."""
        checksum = _sealed(body, self._requests, self._start if self._seal is None else self._seal)
        if self._seal is None:
            self._seal = checksum
        self._requests += 1
        return _closed(body, checksum)

    def open(self, data: bytes) -> bytes:
        """The next reply, without its checksum.

        Raises:
            DamagedError: it has none, or another.
        """
        body = data[:-_SIZE]
        if self._seal is None or data != _closed(body, _sealed(body, _REPLY | self._replies, self._seal)):
            raise DamagedError
        self._replies += 1
        return body

    @property
    def starts(self) -> tuple[int, int | None]:
        """From what the checksum of a failure of this call may go on: what its headers show, and its seal.

        The first is for refusals that rest on headers alone. Whoever says so of a message hasn't got it as it was sent.
        """
        return self._refusal, self._seal


class Callee:
    """The seals of one call, as the side keeps them that is called. `sealed` is known after the first request."""

    def __init__(self, path: str, metadata: Iterable[Any] | None = ()) -> None:
        self._start = crc32(path.encode())
        self._refusal = _refusal(path, metadata)
        self._seal: int | None = None
        self._requests = self._replies = 0

    @property
    def sealed(self) -> bool:
        """Whether the caller seals: its first request was, and checked."""
        return self._seal is not None

    @property
    def begun(self) -> bool:
        """Whether a request has come."""
        return self._requests > 0

    def open(self, data: bytes) -> bytes:
        """The next request, without its checksum; as it is, if the call's first had none.

        Raises:
            DamagedError: it has another, or has none although the call is sealed.
        """
        first, self._requests = self._requests == 0, self._requests + 1
        if not first and not self.sealed:
            return data
        body = data[:-_SIZE]
        checksum = _sealed(body, self._requests - 1, self._start if self._seal is None else self._seal)
        if data == _closed(body, checksum):
            self._seal = checksum if first else self._seal
            return body
        if first and not _ends_with_checksum(data):
            return data
        raise DamagedError

    def seal(self, body: bytes) -> bytes:
        """The next reply: with a checksum, if the call is sealed."""
        if self._seal is None:
            return body
        checksum = _sealed(body, _REPLY | self._replies, self._seal)
        self._replies += 1
        return _closed(body, checksum)

    @property
    def start(self) -> int:
        """From what the checksum of a failure of this call goes on."""
        return self._refusal if self._seal is None else self._seal

    async def opened(self, requests: AsyncIterator[bytes], *, marked_end: bool = False) -> AsyncIterator[bytes]:
        """The requests without their checksums.

        Args:
            requests: as they come.
            marked_end: the last request of a sealed call is an empty one; that a connection says so counts for nothing.

        Raises:
            DamagedError: see `open`; or the end isn't marked.
        """
        async for data in requests:
            body = self.open(data)
            if marked_end and self.sealed and not body:
                return
            yield body
        if marked_end and self.sealed:
            raise DamagedError("the upload broke off; it begins anew")


def _ends_with_checksum(data: bytes) -> bool:
    """Whether a message has the field, as far as that can be seen: one that can't be read may have had it."""
    if data[-_SIZE:-4] != _TAG:
        return False
    at, end = 0, len(data) - _SIZE
    while at < len(data):  # an unsealed message may have the tag's byte in that place by chance
        if at == end:
            return True
        tag, at = varint(data, at)
        match tag & 7:
            case 0:
                _, at = varint(data, at)
            case 1:
                at += 8
            case 2:
                size, at = varint(data, at)
                at += size
            case 5:
                at += 4
            case _:
                return True
    return at > len(data)
