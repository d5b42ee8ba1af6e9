"""How much of a message may be structure: a few bytes of it become objects of hundreds. Counted before parsing.

Text, pictures, features and states cost what their bytes cost, and only their heads are looked at.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from common.errors import MessageError
from common.varint import varint

UNCOUNTED = 16 << 10  # bytes of a message that is parsed as it is
MAX_STRUCTURE = 256 << 10  # bytes of numbers, lists of numbers, small messages and unknown fields
MAX_FIELDS = 4_096 + 64
_SMALL = 512  # bytes of a message in a message that isn't looked into
_DEEPEST = 8
_BLOBS = {FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def check_structure(descriptor: Descriptor, data: bytes) -> None:
    """Raise MessageError if a message would become far more than its bytes. Malformed ones are left to the parser."""
    if len(data) > UNCOUNTED:
        _Count(data).message(descriptor, 0, len(data), 0)


class _Count:
    """What of one message has been counted so far."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields = self._bytes = 0

    def message(self, descriptor: Descriptor, at: int, end: int, depth: int) -> None:
        """Count a message from `at` to `end`."""
        while at < end:
            tag, at = varint(self._data, at)
            kind = tag & 7
            if kind == _LENGTH:
                size, at = varint(self._data, at)
                self._value(descriptor.fields_by_number.get(tag >> 3), at, min(at + size, end), depth)
                at += size
                continue
            self._add(8)
            if kind == _VARINT:
                at = varint(self._data, at)[1]
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
            else:  # groups, which the contract hasn't: the rest is nobody's
                self._add(end - at)
                return

    def _value(self, field: FieldDescriptor | None, at: int, end: int, depth: int) -> None:
        if field is not None and field.type in _BLOBS:
            self._add(0)
        elif field is not None and field.message_type is not None and end - at > _SMALL and depth < _DEEPEST:
            self._add(0)
            self.message(field.message_type, at, end, depth + 1)
        else:
            self._add(end - at)

    def _add(self, size: int) -> None:
        """A field, and bytes that count. Raises MessageError."""
        self._fields += 1
        self._bytes += max(0, size)
        if self._fields > MAX_FIELDS or self._bytes > MAX_STRUCTURE:
            raise MessageError(
                f"a message of {len(self._data):,} bytes has too many parts ({MAX_FIELDS:,} fields, and "
                f"{MAX_STRUCTURE:,} bytes of numbers and small messages, are taken): send them in several"
            )
