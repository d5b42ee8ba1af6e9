"""The numbers of protobuf's wire format, for who looks at a message without parsing it."""

from __future__ import annotations

_LONGEST = 10  # bytes


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends; beyond the data's end if it isn't whole."""
    value = shift = 0
    for place in range(at, min(at + _LONGEST, len(data))):
        value |= (data[place] & 127) << shift
        if data[place] < 128:
            return value, place + 1
        shift += 7
    return value, len(data) + 1
