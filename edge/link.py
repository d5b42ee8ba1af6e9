"""The link to the cloud as one injectable object: open a stream, stream a video, ask who is there.

`GrpcLink` keeps two TCP connections, and paces video (`edge/pacing.py`): a 20-byte draft never queues behind a 200 KB
picture. Failures of the network come out as `LinkError`, refusals by the cloud as the error they stand for. Messages
bear checksums both ways (`common/sealing.py`): what doesn't check is a lost link, never a token and never a refusal. A
dead line is found by pings (`edge/channel.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from common import codec, tracing
from common.errors import EventSpecError, LinkError
from common.reach import Reaching
from common.rpc import blames_connection, channel_options, error_of_status, is_word
from common.sealing import Caller, DamagedError
from common.security import Reach
from common.types import CloudMessage, EdgeMessage, ServerInfo
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.channel import Channel, quietly
from edge.grpc_stream import PATIENT, GrpcStream, Patience, result_of, retrieved
from edge.pacing import VideoInFlight
from edge.video_stream import PacedLink, Sent, paced_features, paced_messages

_SPECULATE, _VIDEO, _INFO = (f"/{codec.SERVICE}/{name}" for name in ("Speculate", "StreamVideo", "GetInfo"))
_REPLIES = 8  # to an upload, beside one for each of its messages
_VIDEO_QUIET_S = 2.0
_VIDEO_ANSWER_S = 3.0  # a paced video leaves the line to others


Packets = Iterable[VideoPacket] | AsyncIterable[VideoPacket]  # ready, or as they are made


class Stream(Protocol):
    """One connection of one session."""

    async def send(self, message: EdgeMessage) -> int:
        """Send; returns the bytes on the wire. Raises LinkError."""

    async def receive(self) -> tuple[CloudMessage, int]:
        """The next message and its bytes. Raises LinkError when the stream ends."""

    def distrust(self) -> None:
        """Its cloud lied: where there are several clouds, the next one has its turn."""

    async def close(self) -> None:
        """End the stream; what was sent is delivered first. Never raises."""


class Link(Protocol):
    """The way to the cloud."""

    async def info(self, timeout: float) -> ServerInfo:
        """The cloud's capabilities and limits. Raises LinkError."""

    async def open(self) -> Stream:
        """Open a stream. May raise LinkError, now or at the first send or receive."""

    async def send_video(self, session_id: str, header: VideoHeader, packets: Packets) -> int:
        """Stream a video; returns the bytes on the wire. Raises LinkError, or the cloud's refusal."""

    async def stream_video(
        self, clip_id: str, header: VideoHeader, packets: AsyncIterable[VideoPacket], sent: Sent
    ) -> int:
        """Stream a video as its packets come; `sent` hears of each message's packets and bytes. As `send_video`."""

    async def send_features(
        self, session_id: str, header: FeaturesHeader, features: AsyncIterable[FrameFeatures]
    ) -> int:
        """Stream a video's features in its place; returns the bytes on the wire. Errors as `send_video`."""

    async def close(self) -> None:
        """Let go of all connections."""


def _heard_since(since: float, stream: VideoInFlight, patience_s: float) -> None:
    """Raises LinkError: of a video that a question waits for, or of what was sent of another, nothing has arrived."""
    now = time.monotonic()
    if not stream.awaited:
        since = max(since, stream.messages[0][1]) if stream.messages else now
    if now - since > patience_s:
        raise LinkError(f"no word for {patience_s:.0f} s on this upload")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where the cloud is, the largest message, and how to reach it: TLS, token; how long silence is borne."""

    address: str
    max_message_bytes: int = 8 << 20
    reach: Reach = field(default_factory=Reach)
    patience: Patience = PATIENT


class GrpcLink:
    """gRPC to a cloud daemon."""

    def __init__(self, settings: LinkSettings) -> None:
        self.settings = settings
        self._reaching = Reaching(settings.reach)
        self._drafts = Channel(self._channel, self._ask)
        self._video = Channel(self._channel, self._ask)
        self._pacing = PacedLink()
        self._uploads = 0  # calls
        self._awaited = 0  # ... of videos that questions wait for

    def _channel(self) -> grpc.aio.Channel:
        # without a pool of its own, gRPC would put all channels onto one TCP connection
        options = [*channel_options(self.settings.max_message_bytes), ("grpc.use_local_subchannel_pool", 1)]
        return self._reaching.aio_channel(self.settings.address, options)

    async def _ask(self, channel: grpc.aio.Channel, timeout: float) -> None:
        """A sign of life; a refusal is one too."""
        metadata = self._metadata()
        seals = Caller(_INFO, metadata)
        try:
            call = channel.unary_unary(_INFO)
            seals.open(await call(seals.seal(codec.encode_info_request()), timeout=timeout, metadata=metadata))
        except grpc.RpcError as error:
            if not is_word(error, seals):
                raise LinkError("the cloud gives no sign of life") from error
        except DamagedError:
            raise
        except (asyncio.CancelledError, Exception) as error:  # the channel was closed meanwhile
            raise LinkError("the connection was given up") from error

    def _follow_files(self) -> None:
        """A connection keeps the certificate of its handshake: where another is there now, new calls get a new one."""
        if self._reaching.renewed():
            for channel in (self._drafts, self._video):
                channel.retire(channel.current)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (*self._reaching.metadata(), *tracing.metadata())

    async def info(self, timeout: float) -> ServerInfo:
        """The cloud's capabilities and limits."""
        self._follow_files()
        channel, metadata = self._drafts.current, self._metadata()
        seals = Caller(_INFO, metadata)
        try:
            request = seals.seal(codec.encode_info_request())
            reply = await channel.unary_unary(_INFO)(request, timeout=timeout, metadata=metadata)
            return codec.decode_info(seals.open(reply))
        except DamagedError:
            self._drafts.retire(channel)
            raise
        except grpc.RpcError as error:
            if blames_connection(error, seals):
                self._drafts.retire(channel)
            raise error_of_status(error, seals) from error

    async def open(self) -> GrpcStream:
        """Open a stream."""
        self._follow_files()
        await self._drafts.connected()
        channel, metadata = self._drafts.current, self._metadata()
        return GrpcStream(
            channel.stream_stream(_SPECULATE)(metadata=metadata),
            Caller(_SPECULATE, metadata),
            patience=self.settings.patience,
            check=self._check,
            answered=self._drafts.answered,
            suspect=lambda: self._drafts.retire(channel),
            busy=lambda: self._awaited > 0,
        )

    async def _check(self) -> None:
        """A sign of life over the drafts' connection, and at the same time over one that an upload waits on.

        Both go the same way: an upload whose connection has been as silent as the drafts' dead one is given up with it,
        or it would wait for TCP to try again, which after an outage may be long after the line is back.
        """
        video = self._video.current
        asked = quietly(self._video.check(_VIDEO_ANSWER_S)) if self._uploads else None
        try:
            await self._drafts.check()
        except LinkError:
            if asked is not None and not asked.done():
                await self._video.give_up(video)
            raise

    async def send_video(self, session_id: str, header: VideoHeader, packets: Packets) -> int:
        """Stream a video on its own connection."""

        async def read(ready: Iterable[VideoPacket]) -> AsyncIterator[VideoPacket]:
            for packet in ready:
                yield packet

        stream, coming = VideoInFlight(awaited=True), packets if isinstance(packets, AsyncIterable) else read(packets)
        messages = paced_messages(session_id, header, coming, self._pacing, stream, gather=True)
        return await self._send_video(messages, stream)

    async def stream_video(
        self, clip_id: str, header: VideoHeader, packets: AsyncIterable[VideoPacket], sent: Sent
    ) -> int:
        """Stream a video as its packets come, each in a message of its own, large ones in several."""
        stream = VideoInFlight()
        messages = paced_messages(clip_id, header, packets, self._pacing, stream, gather=False, sent=sent)
        return await self._send_video(messages, stream)

    async def send_features(
        self, session_id: str, header: FeaturesHeader, features: AsyncIterable[FrameFeatures]
    ) -> int:
        """Stream a video's features as they are made, in pieces."""
        stream = VideoInFlight(awaited=True)
        messages = paced_features(session_id, header, features, self._pacing, stream)
        return await self._send_video(messages, stream)

    async def _send_video(self, messages: AsyncIterator[bytes], stream: VideoInFlight) -> int:
        """Send messages, and take acknowledgements in for `stream`."""
        size, metadata = 0, self._metadata()
        seals = Caller(_VIDEO, metadata)
        broken: list[EventSpecError] = []

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            try:
                async for data in messages:
                    sealed = seals.seal(data)
                    size += len(sealed)
                    stream.count += 1
                    yield sealed
                yield seals.seal(b"")  # the end: that the connection says so isn't enough
            except EventSpecError as error:  # gRPC only logs it, and cancels the call
                broken.append(error)

        self._follow_files()
        channel = self._video.current
        try:
            await self._video.connected()
            channel = self._video.current
            await self._converse(channel.stream_stream(_VIDEO)(counted(), metadata=metadata), seals, stream)
        except DamagedError:
            self._video.retire(channel)
            raise
        except grpc.RpcError as error:
            if broken:
                raise broken[0] from error
            if blames_connection(error, seals):
                self._video.retire(channel)
            raise error_of_status(error, seals) from error
        finally:
            self._pacing.forget(stream)
        return size

    async def _converse(self, call: Any, seals: Caller, stream: VideoInFlight) -> None:
        """One call of an upload. Raises LinkError if its last word doesn't come."""
        began, ended = time.monotonic(), False
        self._uploads += 1
        self._awaited += stream.awaited
        try:
            async for reply in self._watched(call, stream):
                self._video.answered(time.monotonic() - began)
                received = codec.decode_video_acknowledgement(seals.open(reply))
                ended = received is None
                if received is not None:
                    self._pacing.acknowledged(stream, received)
        finally:
            call.cancel()  # if it isn't over, it has failed
            self._uploads -= 1
            self._awaited -= stream.awaited
        if not ended:
            raise LinkError("the cloud ended an upload without a word about it")

    async def _watched(self, call: Any, stream: VideoInFlight) -> AsyncIterator[bytes]:
        """The replies of an upload; when none comes for a while, its connection is asked for a sign of life.

        A video that a question waits for is given up if the cloud says nothing about it for long. One that is recorded
        meanwhile may pause, but what was sent of it is to be acknowledged.
        """
        replies, taken, since = 0, stream.acknowledged, time.monotonic()
        while True:
            reading = asyncio.ensure_future(call.read())
            reading.add_done_callback(retrieved)
            try:
                while not reading.done():
                    await asyncio.wait({reading}, timeout=_VIDEO_QUIET_S)
                    if not reading.done():
                        await self._video.check(_VIDEO_ANSWER_S)
                        _heard_since(since, stream, self.settings.patience.video)
                reply = await result_of(reading)
            finally:
                if not reading.done():
                    call.cancel()
            if reply is grpc.aio.EOF:
                return
            replies += 1
            if replies > stream.count + _REPLIES:
                raise LinkError("the cloud acknowledges what nobody sent")
            yield reply
            if stream.acknowledged > taken or replies == 1:
                taken, since = stream.acknowledged, time.monotonic()
            _heard_since(since, stream, self.settings.patience.video)

    async def close(self) -> None:
        """Let go of both connections."""
        await self._drafts.close()
        await self._video.close()
