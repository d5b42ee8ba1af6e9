"""The cloud's gRPC service: decode, pass on, encode. No torch, no model, no KV; sessions live in the engine.

Who may call is decided here; how a video gets to the engine is in `cloud/video_intake.py`.
End of stream without `Close` means that the peer was lost: its session is parked for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import grpc.aio

from cloud.admission import Admission
from cloud.config import CloudSettings
from cloud.draining import Draining
from cloud.engine_client import EngineClient
from cloud.front_counters import SPECULATE, VIDEO, FrontCounters
from cloud.messages import Park
from cloud.streams import SessionStream, StreamTable
from cloud.video_intake import VideoIntake
from common import codec
from common.allowance import Allowance
from common.door import Door, Principal
from common.errors import (
    CapacityError,
    DrainingError,
    EngineError,
    EventSpecError,
    MessageError,
    PromptError,
    VideoFormatError,
)
from common.failures import failure_of
from common.logs import in_session
from common.rpc import abort
from common.sealing import Callee
from common.standing import Standing
from common.tracing import NoSpans, Spans, parent_of
from common.types import Close, Draft, EdgeMessage, Open, Opened

log = logging.getLogger("eventspec.cloud")

_LINES_PER_S = 20.0  # about streams that ended
_FIRST_WORD_S = 1.0  # to wait for the first request of a call that is refused
_MOST_CHARACTERS = 64  # of a question, for each token that a prompt may have


class SpeculationService:
    """The handlers of `eventspec.v1.SpeculationService`."""

    def __init__(
        self,
        engine: EngineClient,
        streams: StreamTable,
        settings: CloudSettings,
        door: Door,
        spans: Spans | None = None,
    ) -> None:
        self._engine = engine
        self._spans = spans or NoSpans()
        self._door = door
        self._streams = streams
        self._settings = settings
        self.counters = FrontCounters()
        self.draining = Draining(streams, self.counters, door)
        self._lines = Allowance(_LINES_PER_S, 5 * _LINES_PER_S)
        self._admission = Admission(settings.client_limits)
        self._videos = VideoIntake(engine, streams, settings, self._admission)

    def handlers(self) -> grpc.GenericRpcHandler:
        """To be added to a server; messages are bytes, which only the codec translates."""
        counters = self.counters
        return grpc.method_handlers_generic_handler(
            codec.SERVICE,
            {
                "GetInfo": grpc.unary_unary_rpc_method_handler(self.get_info),
                "Drain": grpc.unary_unary_rpc_method_handler(self.draining.handle),
                "Speculate": grpc.stream_stream_rpc_method_handler(
                    self.speculate, counters.receiving(SPECULATE), counters.sending(SPECULATE)
                ),
                "StreamVideo": grpc.stream_stream_rpc_method_handler(
                    self.stream_video, counters.receiving(VIDEO), counters.sending(VIDEO)
                ),
            },
        )

    def close(self) -> None:
        """End the decoding threads."""
        self._videos.close()

    async def get_info(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Capabilities and limits."""
        seals = _seals("GetInfo", context)
        try:
            seals.open(request)
        except EventSpecError as error:
            await abort(context, error, seals.start)
        return seals.seal(codec.encode_info(self._engine.info))

    # ------------------------------------------------------------------------------------------- speculation

    async def speculate(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """One connection of one session."""
        seals = _seals("Speculate", context)
        checked = seals.opened(requests)
        try:
            principal = self._door.principal(context)
            parent = parent_of(context.invocation_metadata())
            standing = self._door.standing(f"/{codec.SERVICE}/Speculate", context)
            with self._admission.call(principal.client, time.monotonic()), self._spans.span("speculate", parent):
                async with contextlib.aclosing(self._converse(checked, seals, principal, standing)) as replies:
                    async for reply in replies:
                        yield seals.seal(reply)
        except Exception as error:
            known = await self._refused(error)
            await _begin(seals, checked)
            yield seals.seal(codec.encode_cloud_message(failure_of(known)))

    async def _refused(self, error: Exception) -> EventSpecError:
        """A call that is refused is counted; who asked for too much, or talked nonsense, waits for the answer."""
        known = error if isinstance(error, EventSpecError) else _mistake(error)
        self.counters.refused(known)
        if isinstance(known, CapacityError | MessageError):
            await self._door.hold()
        return known

    async def _converse(
        self, requests: AsyncIterator[bytes], seals: Callee, principal: Principal, standing: Standing
    ) -> AsyncGenerator[bytes, None]:
        with self._striking(principal):
            first = await self._opening(requests)
        opening = _of(principal, first, seals)
        in_session(first.session_id)
        stream = self._streams.attach(opening)
        reader = asyncio.create_task(self._read(requests, stream, opening, first))
        guard = asyncio.create_task(self._guard(stream, standing))
        try:
            named = first.session_id == opening.session_id
            while (data := await stream.outbox.get()) is not None:
                yield data if named else _echoing(data, first.session_id)
                named = True  # the first reply is the only one that has the id in it
        finally:
            reader.cancel()
            guard.cancel()
            self._streams.detach(stream)
            self._log_end(stream, principal)
            if not stream.said_goodbye and not stream.replaced:
                await self._park(stream.session_id)

    def _log_end(self, stream: SessionStream, principal: Principal) -> None:
        """One line a stream; who floods doesn't fill the log."""
        now = time.monotonic()
        if self._lines.take(0, now) == 0:
            self._lines.take(1, now)
            fields = {"client": principal.client, "epoch": stream.epoch, "goodbye": stream.said_goodbye}
            log.info("stream over", extra={"fields": fields})

    async def _opening(self, requests: AsyncIterator[bytes]) -> Open:
        try:
            async with asyncio.timeout(self._settings.open_timeout_s):
                first = self._decoded(await anext(aiter(requests)))
        except TimeoutError as error:
            raise MessageError(f"no Open within {self._settings.open_timeout_s} s") from error
        except StopAsyncIteration as error:
            raise MessageError("the stream ended before its Open") from error
        if not isinstance(first, Open):
            raise MessageError(f"a stream begins with Open, not {type(first).__name__}")
        if self.draining.active:
            raise DrainingError(
                "this cloud takes no new answers, it is going down: connect to another, or again in a while"
            )
        most = _MOST_CHARACTERS * self._settings.max_prompt_tokens
        if len(first.question) > most:
            raise PromptError(
                f"the question has {len(first.question):,} characters, at most {most:,} are read: shorten it"
            )
        return first

    def _decoded(self, data: bytes) -> EdgeMessage:
        if len(data) > self._settings.most_bytes(self._engine.info):
            raise MessageError(f"a message of {len(data):,} bytes: no draft or question is as long as that")
        return codec.decode_edge_message(data)

    @contextlib.contextmanager
    def _striking(self, principal: Principal) -> Iterator[None]:
        """Nonsense is remembered."""
        try:
            yield
        except (MessageError, VideoFormatError):
            self._admission.strike(principal.client, time.monotonic())
            raise

    async def _read(self, requests: AsyncIterator[bytes], stream: SessionStream, opening: Open, first: Open) -> None:
        try:
            await self._engine.send(stream.session_id, opening)
            await self._streams.announce(stream)
            pace = Allowance(self._settings.messages_per_s, 2.0 * self._settings.messages_per_s)
            async for data in requests:
                if (wait := pace.take(1, time.monotonic())) > 0:
                    await asyncio.sleep(wait)
                message = self._decoded(data)
                if message == first:
                    continue  # it came twice
                if isinstance(message, Open):
                    raise MessageError("a second Open on one stream")
                if isinstance(message, Draft):
                    stream.count_draft(self._settings.drafts_in_flight)
                stream.said_goodbye = isinstance(message, Close)
                await self._engine.send(stream.session_id, message)
                if stream.said_goodbye:
                    break
        except EventSpecError as error:
            if isinstance(error, MessageError | CapacityError):  # who talks nonsense, or floods, gets no second stream
                self._admission.strike(opening.client, time.monotonic())
                stream.said_goodbye = True
                await self._forget(stream.session_id)
            self.counters.refused(error)
            stream.fail(error)
            return
        except grpc.aio.UsageError:  # the server stopped under the reader
            pass
        except Exception as error:
            stream.fail(_mistake(error))
            return
        stream.end()

    async def _guard(self, stream: SessionStream, standing: Standing) -> None:
        """A revoked token ends its streams; sessions are parked, for their edges may come again with another."""
        error = await standing.lost()
        self.counters.refused(error)
        stream.fail(error)

    async def _forget(self, session_id: str) -> None:
        try:
            await self._engine.send(session_id, Close())
        except EventSpecError:
            return  # a dead engine has forgotten already

    async def _park(self, session_id: str) -> None:
        try:
            await self._engine.send(session_id, Park())
        except EventSpecError:
            return

    # ------------------------------------------------------------------------------------------------- video

    async def stream_video(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        """A session's video: decode, pick and preprocess the target's frames, hand them to the engine."""
        seals = _seals("StreamVideo", context)
        checked = seals.opened(requests, marked_end=True)
        try:
            principal = self._door.principal(context)
            checked = self._door.standing(f"/{codec.SERVICE}/StreamVideo", context).watching(checked)
            scoped = partial(_scoped, principal, seals)
            with self._admission.call(principal.client, time.monotonic()), self._striking(principal):
                async with contextlib.aclosing(self._videos.take(checked, principal.client, scoped)) as replies:
                    async for reply in replies:
                        yield seals.seal(reply)
        except Exception as error:
            known = await self._refused(error)
            await _begin(seals, checked)
            await abort(context, known, seals.start)


def _seals(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Callee:
    return Callee(f"/{codec.SERVICE}/{method}", context.invocation_metadata())


async def _begin(seals: Callee, checked: AsyncIterator[bytes]) -> None:
    """A call that is refused before its first request was read: what is said of it must bear that request's seal."""
    if not seals.begun:
        with contextlib.suppress(TimeoutError, StopAsyncIteration, EventSpecError):
            async with asyncio.timeout(_FIRST_WORD_S):
                await anext(checked)


def _scoped(principal: Principal, seals: Callee, chosen_id: str) -> str:
    """An id that only this principal can mean; and what came without checksums is never taken for what came with them.

    A request of a sealed call may be damaged just so that it looks like another peer's, who seals nothing.
    """
    return principal.scoped(f"sealed/{chosen_id}" if seals.sealed and chosen_id else chosen_id)


def _mistake(error: Exception) -> EngineError:
    """An error that nobody raised on purpose: the log has it, and the call that it ends is told."""
    log.error("a call broke", exc_info=error)
    return EngineError("the cloud failed on this call: its log says why")


def _of(principal: Principal, opening: Open, seals: Callee) -> Open:
    """The opening under ids that are the principal's own: nobody else's token meets its session or clip."""
    scoped = partial(_scoped, principal, seals)
    return replace(opening, session_id=scoped(opening.session_id), clip=scoped(opening.clip), client=principal.client)


def _echoing(data: bytes, session_id: str) -> bytes:
    """A first reply with the id that the edge has chosen."""
    message = codec.decode_cloud_message(data)
    if isinstance(message, Opened):
        return codec.encode_cloud_message(replace(message, session_id=session_id))
    return data
