"""Puts together what comes in pieces: a packet's bytes, or the features of a frame. Pure.

Sums run along, so that a piece costs what its own bytes cost, whatever came before it. A piece that others follow has
at least `LEAST_PIECE` bytes: smaller ones would cost more than they carry.
"""

from __future__ import annotations

from dataclasses import replace

from common.errors import MessageError
from common.video import LEAST_PIECE, FrameFeatures, VideoPacket


class Pieces:
    """The bytes of one thing, as they come.

    Attributes:
        size: bytes so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, data: bytes, what: str, most: int, *, last: bool) -> bytes | None:
        """Add a piece of `what`, which has at most so many bytes; returns the whole after the last.

        Raises:
            MessageError: it is too small to be a piece, or the whole too large.
        """
        self.size += len(data)
        if self.size > most:
            raise MessageError(f"the pieces of {what} have {self.size:,} of at most {most:,} bytes")
        if not last and len(data) < LEAST_PIECE:
            raise MessageError(f"a piece of {what} has {len(data)} bytes, at least {LEAST_PIECE} but for the last")
        self._pieces.append(data)
        if not last:
            return None
        whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self.size = [], 0
        return whole


class PacketJoiner:
    """Puts packets together again that came in pieces."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._first: VideoPacket | None = None  # of a packet that isn't whole: all but its bytes
        self._pieces = Pieces()

    @property
    def pending(self) -> bool:
        """True if the last packet isn't whole."""
        return self._first is not None

    def join(self, packets: tuple[VideoPacket, ...]) -> tuple[VideoPacket, ...]:
        """The packets that are whole now. Raises MessageError if pieces don't fit, are too small or too many bytes."""
        joined = (self._joined(packet) for packet in packets)
        return tuple(packet for packet in joined if packet is not None)

    def _joined(self, packet: VideoPacket) -> VideoPacket | None:
        if self._first is not None and self._first != replace(packet, data=b"", continued=True):
            raise MessageError(f"a piece of packet {packet.index} came before packet {self._first.index} was whole")
        whole = self._pieces.add(packet.data, f"packet {packet.index}", self._max_bytes, last=not packet.continued)
        if whole is None:
            self._first = self._first or replace(packet, data=b"")
            return None
        self._first = None
        return replace(packet, data=whole)


class FeatureJoiner:
    """Puts frames' features together again that came in pieces."""

    def __init__(self) -> None:
        self._pieces = Pieces()

    def join(self, item: FrameFeatures) -> FrameFeatures | None:
        """A frame's features once they are whole. Raises MessageError if the pieces don't fit, or are too small."""
        if not item.size:
            if self._pieces:
                raise MessageError(f"features of frame {item.index} came again before they were whole")
            return item
        data = item.features.data
        last = self._pieces.size + len(data) >= item.size
        whole = self._pieces.add(data, f"frame {item.index}", item.size, last=last)
        return None if whole is None else FrameFeatures(item.index, replace(item.features, data=whole))
