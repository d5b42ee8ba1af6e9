"""Is a Matroska or WebM file complete? Its outermost element says how long it is; FFmpeg doesn't tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_LOOK_AT = 4096  # the header before the segment is some 40 bytes long


def missing_bytes(file: BinaryIO, size: int) -> int:
    """How many bytes a file of `size` is shorter than it says; 0 for other formats and for live recordings."""
    start = file.read(_LOOK_AT)
    if not start.startswith(_EBML):
        return 0
    header = _size(start, len(_EBML))
    if header is None or start[header[1] + header[0] :][: len(_SEGMENT)] != _SEGMENT:
        return 0
    segment = _size(start, header[1] + header[0] + len(_SEGMENT))
    if segment is None:
        return 0
    return max(segment[1] + segment[0] - size, 0)


def _size(data: bytes, at: int) -> tuple[int, int] | None:
    """An element's (length, where its contents begin) from the variable-length number at `at`; None if unknown.

    The number of leading zero bits of the first byte is the number of bytes that follow (RFC 8794, section 4). All
    ones mean: unknown.
    """
    if at >= len(data) or data[at] == 0:
        return None
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    if at + length > len(data) or value == (1 << 7 * length) - 1:
        return None
    return value, at + length
