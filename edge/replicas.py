"""Several clouds behind one link: answers go to one of them, and to the next when that is lost.

A stream that had been taken in is first tried again where it was, for its keys and values may still be there; a cloud
that isn't reached, says that it can't go on, or says what no cloud would say, loses its turn at once, and one that took
two streams in and brought neither a token after them. A session's video follows its stream.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import AsyncIterable, Sequence

from common.errors import EventSpecError, LinkError, MessageError
from common.types import CloudMessage, Commit, EdgeMessage, Failure, Open, Opened, ServerInfo
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.link import Link, Packets, Stream
from edge.video_stream import Sent

_REMEMBERED = 256
_BARREN = 2  # streams in a row


class ReplicaStream:
    """A stream to one of the replicas, which watches how it fares."""

    def __init__(self, stream: Stream, replica: int, replicas: ReplicaLink) -> None:
        self._stream = stream
        self._replica = replica
        self._replicas = replicas
        self._taken_in = False

    async def send(self, message: EdgeMessage) -> int:
        """Send; returns the bytes on the wire."""
        if isinstance(message, Open):
            self._replicas.belongs(message.session_id, self._replica)
        return await self._stream.send(message)

    async def receive(self) -> tuple[CloudMessage, int]:
        """The next message and its bytes."""
        try:
            message, size = await self._stream.receive()
        except LinkError:
            self._replicas.broke(self._replica, taken_in=self._taken_in)
            raise
        except MessageError:
            self.distrust()
            raise
        if isinstance(message, Opened):
            self._taken_in = True
            self._replicas.taken_in()
        elif isinstance(message, Commit):
            self._replicas.brought_tokens(self._replica)
        elif isinstance(message, Failure) and message.retryable:
            self._replicas.lost(self._replica)
            message = self._replicas.refused(self._replica, message)
        return message, size

    def distrust(self) -> None:
        """This replica lied: the next one's turn."""
        self._replicas.lost(self._replica)

    async def close(self) -> None:
        """End the stream."""
        await self._stream.close()


class ReplicaLink:
    """Implements `edge.link.Link` over several links."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = list(links)
        self._current = 0
        self._homes: OrderedDict[str, int] = OrderedDict()
        self._refused: set[int] = set()  # replicas, since one took something in
        self._barren: dict[int, int] = {}  # streams of each that were taken in and broke, since its last token

    def belongs(self, name: str, replica: int) -> None:
        """A session or clip is with this replica now."""
        self._homes[name] = replica
        self._homes.move_to_end(name)
        if len(self._homes) > _REMEMBERED:
            self._homes.popitem(last=False)

    def lost(self, replica: int) -> None:
        """This replica can't be used at the moment: the next one's turn, unless that has come already."""
        if replica == self._current:
            self._current = (replica + 1) % len(self._links)

    def broke(self, replica: int, *, taken_in: bool) -> None:
        """A stream of this replica's was lost."""
        self._barren[replica] = self._barren.get(replica, 0) + 1
        if not taken_in or self._barren[replica] >= _BARREN:
            self._barren[replica] = 0
            self.lost(replica)

    def brought_tokens(self, replica: int) -> None:
        """It does what it is for."""
        self._barren[replica] = 0

    def taken_in(self) -> None:
        """A replica took a session in."""
        self._refused.clear()

    def refused(self, replica: int, failure: Failure) -> Failure:
        """What a replica's refusal means for all: when to come back counts once nobody is left to ask."""
        self._refused.add(replica)
        if len(self._refused) < len(self._links):
            return dataclasses.replace(failure, retry_after_ms=0)
        self._refused.clear()
        return failure

    def _home(self, name: str) -> Link:
        return self._links[self._homes.get(name, self._current)]

    async def info(self, timeout: float) -> ServerInfo:
        """The capabilities and limits of the first replica that answers."""
        failed: EventSpecError | None = None
        for _ in self._links:
            replica = self._current
            try:
                return await self._links[replica].info(timeout)
            except EventSpecError as error:
                failed = error
                self.lost(replica)
        raise failed or LinkError("there is no cloud to ask")

    async def open(self) -> Stream:
        """Open a stream to the replica whose turn it is."""
        replica = self._current
        try:
            return ReplicaStream(await self._links[replica].open(), replica, self)
        except LinkError:
            self.lost(replica)
            raise

    async def send_video(self, session_id: str, header: VideoHeader, packets: Packets) -> int:
        """Stream a video to where its session is."""
        return await self._home(session_id).send_video(session_id, header, packets)

    async def stream_video(
        self, clip_id: str, header: VideoHeader, packets: AsyncIterable[VideoPacket], sent: Sent
    ) -> int:
        """Stream a clip, as its packets come, to the replica whose turn it is."""
        return await self._links[self._current].stream_video(clip_id, header, packets, sent)

    async def send_features(
        self, session_id: str, header: FeaturesHeader, features: AsyncIterable[FrameFeatures]
    ) -> int:
        """Stream a video's features to where its session is."""
        return await self._home(session_id).send_features(session_id, header, features)

    async def close(self) -> None:
        """Let go of all."""
        for link in self._links:
            await link.close()
