"""Reads clips in child processes: what demuxes and decodes a file that somebody named may crash, stall or fill up.

A child (`edge/clip_child.py`) opens the file, counts its frames, and hands packets back by the megabyte, in the
messages of the contract. A clip that is being sent has a child of its own until its last packet is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import codec
from common.child_pool import ChildPool
from common.errors import MessageError, VideoFormatError
from common.limited_child import LimitedChild, Limits
from common.named_files import EVERYTHING, Allowed
from common.video import VideoHeader, VideoPacket
from edge.video import MAX_BYTES

_LIMITS = Limits(memory_bytes=2 << 30, cpu_s=60, wall_s=60.0, reply_bytes=64 << 20)
_NONSENSE = "reading the clip failed: it is damaged or hostile; encode it again"

Batch = list[tuple[float, VideoPacket]]


class ClipReader:
    """Reads clips, at most `places` at a time. Blocks: belongs in threads."""

    def __init__(self, allowed: Allowed = EVERYTHING, *, max_bytes: int = MAX_BYTES, places: int = 8) -> None:
        """`allowed` says which files may be named, `max_bytes` how large one may be."""
        self._allowed = allowed
        self._max_bytes = max_bytes
        self.pool = ChildPool("edge.clip_child:make", _LIMITS, error=VideoFormatError, places=places, once=True)

    def open(self, path: str | Path, encoding: str = "", kbps: int = 0) -> ReadClip:
        """Look at a clip; nothing is decoded.

        Args:
            path: of a regular file.
            encoding: "" for the packets as they are; else the sampled frames alone, encoded so (`edge/transcoding.py`).
            kbps: what a second of encoded H.264 may take.

        Raises:
            VideoFormatError: as `edge.video.open_clip`.
            CapacityError: too many files are being read already.
        """
        name = os.path.abspath(path)  # noqa: PTH100  a child has no working directory
        question = {
            "path": name,
            "roots": self._allowed.roots,
            "max_bytes": self._max_bytes,
            "encoding": encoding,
            "kbps": kbps,
        }
        with self.pool.borrow() as child:
            reply = _asked(child, name, {"do": "open", **question})
        own, rest = _two(reply[1:])
        told, packed = _two(memoryview(rest))
        begin = tuple(_batch(memoryview(packed)))
        return ReadClip(self, name, _header(own), _header(told), question, begin, whole=bytes(reply[:1]) == b"\x01")

    def read(self, clip: ReadClip) -> Generator[Batch, None, None]:
        """A clip's packets by the megabyte, with the moments at which their pictures were taken, in seconds."""
        if known := list(clip.begin):
            yield known
        if clip.whole:
            return
        with self.pool.borrow() as child:
            _asked(child, clip.name, {"do": "read", **clip.question}, codec.encode_video_header("", clip.source))
            while batch := _batch(_asked(child, clip.name, {"do": "next"})):
                fresh, known = batch[len(known) :], known[len(batch) :]
                if fresh:
                    yield fresh

    def warm_up(self) -> None:
        """Start a child ahead of the first clip; returns at once."""
        self.pool.warm_up()

    def close(self) -> None:
        """End the children that wait."""
        self.pool.close()


@dataclass(frozen=True, slots=True)
class ReadClip:
    """A clip that was looked at: as it is in its file (`source`), and as it goes up (`header`).

    `begin` are its first packets where they go up as they are (or all of them: `whole`), so that the first byte waits
    for no second child.
    """

    reader: ClipReader
    name: str
    source: VideoHeader
    header: VideoHeader
    question: dict[str, Any]
    begin: tuple[tuple[float, VideoPacket], ...] = ()
    whole: bool = False

    def recorded(self) -> Iterator[tuple[float, VideoPacket]]:
        """The packets, as `edge.video.Clip.recorded`; blocks. Raises VideoFormatError."""
        for batch in self.reader.read(self):
            yield from batch

    def packets(self) -> Iterator[VideoPacket]:
        """The packets; blocks. Raises VideoFormatError."""
        for _, packet in self.recorded():
            yield packet

    async def taken(self, threads: Executor) -> AsyncGenerator[tuple[float, VideoPacket], None]:
        """As `recorded`, read in threads. Raises VideoFormatError."""
        loop, batches = asyncio.get_running_loop(), self.reader.read(self)
        reading: asyncio.Future[Batch | None] | None = None

        def give_back(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the threads are gone: so is the daemon, soon
                loop.run_in_executor(threads, _close, batches)

        try:
            while True:
                reading = loop.run_in_executor(threads, next, batches, None)
                if (batch := await asyncio.shield(reading)) is None:
                    return
                for one in batch:
                    yield one
        finally:  # whoever goes away in the middle gives the child back, when it is done with what it reads
            if reading is not None:
                reading.add_done_callback(give_back)

    async def sent(self, threads: Executor) -> AsyncIterator[VideoPacket]:
        """The packets, read in threads. Raises VideoFormatError."""
        async for _, packet in self.taken(threads):
            yield packet


def _close(batches: Generator[Batch, None, None]) -> None:
    """Give the child back; if a thread still reads, that happens when it lets go."""
    with contextlib.suppress(ValueError):
        batches.close()


def _asked(child: LimitedChild, name: str, question: dict[str, Any], more: bytes = b"") -> memoryview:
    try:
        return child.ask(json.dumps(question).encode() + b"\n" + more)
    except VideoFormatError as error:
        text = str(error)
        raise VideoFormatError(text if name in text else f"{name}: {text}") from error


def _two(reply: memoryview) -> tuple[bytes, bytes]:
    """A length, and two parts, the first so long."""
    length = int.from_bytes(reply[:4], "big")
    return bytes(reply[4 : 4 + length]), bytes(reply[4 + length :])


def _header(data: bytes) -> VideoHeader:
    try:
        _, header, _ = codec.decode_video_message(data)
    except MessageError as error:
        raise VideoFormatError(_NONSENSE) from error
    if not isinstance(header, VideoHeader):
        raise VideoFormatError(_NONSENSE)
    return header


def _batch(reply: memoryview) -> Batch:
    """Packets and their moments; what a child that a file has taken over might say is refused."""
    times, message = _two(reply)
    try:
        _, header, items = codec.decode_video_message(message)
        moments = np.frombuffer(times, ">f8").tolist()
    except (MessageError, ValueError) as error:
        raise VideoFormatError(_NONSENSE) from error
    packets = [item for item in items if isinstance(item, VideoPacket)]
    if header is not None or len(packets) != len(items) or len(moments) != len(items) or not np.isfinite(moments).all():
        raise VideoFormatError(_NONSENSE)
    return list(zip(moments, packets, strict=True))
