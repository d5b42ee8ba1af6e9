"""HTTP/2's frames as they pass by, so that a flipped bit can be aimed, and counted by what it hit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

_PREFACE = 24
_HEADER = 9
_NAMES = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"),
    *("PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one chunk that is of one frame's header or payload.

    Attributes:
        kind: the frame's name, or `preface`.
        part: `header` (length, type, flags, stream) or `payload`.
        number: how many frames of that kind came before it on this way.
        at: place of its first byte in that part.
        start, stop: where it is in the chunk.
    """

    kind: str
    part: str
    number: int
    at: int
    start: int
    stop: int


class FrameReader:
    """One way of one connection; `up` begins with the client's preface."""

    def __init__(self, way: str) -> None:
        self._kind, self._part = ("preface", "payload") if way == "up" else ("", "header")
        self._at, self._size = 0, _PREFACE if way == "up" else _HEADER
        self._header = bytearray()
        self._seen: Counter[str] = Counter()

    def spans(self, data: bytes) -> list[Span]:
        """What the next bytes are. Of a frame's header they say so once it is whole: it has no kind before."""
        found: list[Span] = []
        start = 0
        while start < len(data):
            stop = min(len(data), start + self._size - self._at)
            if self._part == "header":
                self._header += data[start:stop]
            kind = self._kind or self._named()
            found.append(Span(kind, self._part, self._seen[kind], self._at, start, stop))
            self._at += stop - start
            start = stop
            if self._at == self._size:
                self._next(kind)
        return found

    def _named(self) -> str:
        """The kind of the frame whose header is coming; unknown until its fourth byte."""
        if len(self._header) < 4:
            return "unknown"
        return _NAMES[self._header[3]] if self._header[3] < len(_NAMES) else "unknown"

    def _next(self, kind: str) -> None:
        self._at = 0
        if self._part == "header":
            self._size = int.from_bytes(self._header[:3], "big")
            self._kind, self._part = self._named(), "payload"
            if self._size:
                return
            kind = self._kind
        self._seen[kind] += 1
        self._header.clear()
        self._kind, self._part, self._size = "", "header", _HEADER
