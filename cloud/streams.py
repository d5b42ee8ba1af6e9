"""Which stream belongs to which session, at the front. No torch, no protobuf messages, no gRPC.

A stream's outbox is bounded: an edge that doesn't read costs the cloud a fixed amount of memory and then loses its
stream, whose session is parked like any other lost one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from common import codec
from common.errors import CapacityError, EventSpecError
from common.failures import failure_of
from common.types import Open

_OUTBOX = 1024


@dataclass(eq=False)
class SessionStream:
    """One connection of one session. `outbox` holds `SpeculateResponse` bytes; None ends the stream."""

    session_id: str
    epoch: int
    outbox: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_OUTBOX))
    said_goodbye: bool = False
    replaced: bool = False
    announced: bool = False
    drafts: int = 0  # since the engine last said something

    def count_draft(self, most: int) -> None:
        """A draft came. Raises CapacityError if more are under way than may be."""
        self.drafts += 1
        if self.drafts > most:
            raise CapacityError(f"more than {most} drafts are under way: wait for commits before the next ones")

    def put(self, data: bytes) -> None:
        """Queue bytes for the edge; a reader that is too slow loses its stream."""
        self.drafts = 0
        if self.outbox.full():
            self.end()
        else:
            self.outbox.put_nowait(data)

    def fail(self, error: EventSpecError) -> None:
        """Tell the edge why, and end the stream."""
        self.put(codec.encode_cloud_message(failure_of(error)))
        self.end()

    def end(self) -> None:
        """End the stream after what is queued; drop the queue if it is full."""
        while self.outbox.full():
            self.outbox.get_nowait()
        self.outbox.put_nowait(None)


class StreamTable:
    """All streams by session, and waiting places for videos that come before their session."""

    def __init__(self) -> None:
        self._streams: dict[str, SessionStream] = {}
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._streams)

    def attach(self, opening: Open) -> SessionStream:
        """A stream for an `Open`; a resume of a later epoch takes the session over from a stream that still hangs.

        Raises:
            CapacityError: the session has a stream already.
        """
        old = self._streams.get(opening.session_id)
        if old is not None:
            if opening.epoch <= old.epoch:
                raise CapacityError("this session id is in use; choose another, or resume with a later epoch")
            old.replaced = True
            old.end()
        stream = SessionStream(opening.session_id, opening.epoch)
        self._streams[opening.session_id] = stream
        return stream

    async def announce(self, stream: SessionStream) -> None:
        """The engine knows the stream's session now: videos that wait for it may come."""
        stream.announced = True
        async with self._changed:
            self._changed.notify_all()

    def detach(self, stream: SessionStream) -> None:
        """Forget a stream, unless another took over."""
        if self._streams.get(stream.session_id) is stream:
            del self._streams[stream.session_id]

    def deliver(self, session_id: str, data: bytes) -> None:
        """Bytes from the engine for a session's edge; dropped if it has no stream now (a resume asks again)."""
        stream = self._streams.get(session_id)
        if stream is not None:
            stream.put(data)

    async def wait_for(self, session_id: str, timeout: float) -> bool:
        """True as soon as the session has a stream, False if it has none within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self._announced(session_id))
        except TimeoutError:
            return False
        return True

    def _announced(self, session_id: str) -> bool:
        stream = self._streams.get(session_id)
        return stream is not None and stream.announced

    def send_away(self, error: EventSpecError) -> None:
        """Tell every edge to go on elsewhere, and end every stream; their sessions are parked."""
        for stream in list(self._streams.values()):
            stream.fail(error)

    def fail_all(self, error: EventSpecError) -> None:
        """Tell every edge, and end every stream."""
        for stream in list(self._streams.values()):
            stream.replaced = True  # the engine has no session to park any more
            stream.fail(error)
