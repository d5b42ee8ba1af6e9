"""The edge daemon's local gRPC service. It reads files that callers name: which ones, the setting `files` says."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio

from common import codec
from common.access import Scope
from common.ask import AskEvent, AskRequest, EdgeStatus, WatchRequest, WatchState
from common.door import Door
from common.errors import CapacityError, EventSpecError, LinkError, NotReadyError
from common.rpc import abort
from common.sealing import Callee, DamagedError

T = TypeVar("T")
SIGN_S = 3.0
"""Without anything to tell for so long, a sealed call gets an empty message, as a sign of life."""


class Answers(Protocol):
    """Who answers (`edge.desk.AnswerDesk`)."""

    def answer(self, ask: AskRequest) -> AsyncGenerator[AskEvent, None]:
        """Answer one question."""

    def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        """Stream a clip ahead of its questions."""


class EdgeService:
    """The handlers of `eventspec.v1.EdgeService`."""

    def __init__(
        self,
        answers: Answers,
        *,
        drafter: str,
        cloud: str,
        sessions: int,
        orphans: Callable[[], int] = lambda: 0,
        door: Door | None = None,
    ) -> None:
        self._door = door or Door({})
        self._answers = answers
        self._orphans = orphans
        self._drafter = drafter
        self._cloud = cloud
        self._limit = sessions
        self._running = 0
        self.cloud_reachable = False

    def handlers(self) -> grpc.GenericRpcHandler:
        """To be added to a server; messages are bytes, which only the codec translates."""
        return grpc.method_handlers_generic_handler(
            codec.EDGE_SERVICE,
            {
                "Ask": grpc.unary_stream_rpc_method_handler(self.ask),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
                "Status": grpc.unary_unary_rpc_method_handler(self.status),
            },
        )

    async def ask(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        """One question; the answer streams, the report comes last."""
        seals = _seals("Ask", context)
        self._running += 1
        try:
            ask = codec.decode_ask(seals.open(request))
            if self._running > self._limit:
                raise CapacityError(f"{self._limit} answers are in progress; ask again in a moment")
            standing = self._door.standing(f"/{codec.EDGE_SERVICE}/Ask", context)
            if ask.events_path or ask.video_path:
                self._door.require(Scope.FILES, context)
            async with contextlib.aclosing(_signed(self._answers.answer(_scoped(ask, seals)))) as events:
                async for event in events:
                    standing.check()
                    if event is not None or seals.sealed:
                        yield seals.seal(codec.encode_ask_event(event) if event is not None else b"")
        except EventSpecError as error:
            await abort(context, _for_asker(error, seals), seals.start)
        finally:
            self._running -= 1

    async def watch(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        """A clip, watched for as long as the caller listens."""
        seals = _seals("Watch", context)
        try:
            watch = codec.decode_watch(seals.open(request))
            standing = self._door.standing(f"/{codec.EDGE_SERVICE}/Watch", context)
            self._door.require(Scope.FILES, context)
            async with contextlib.aclosing(_signed(self._answers.watch(watch))) as states:
                async for state in states:
                    standing.check()
                    if state is not None or seals.sealed:
                        yield seals.seal(codec.encode_watch_state(state) if state is not None else b"")
        except EventSpecError as error:
            await abort(context, _for_asker(error, seals), seals.start)

    async def status(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """How the daemon is."""
        seals = _seals("Status", context)
        try:
            seals.open(request)
        except EventSpecError as error:
            await abort(context, error, seals.start)
        running = self._running + self._orphans()
        return seals.seal(codec.encode_status(EdgeStatus(self._drafter, self._cloud, self.cloud_reachable, running)))


def _for_asker(error: EventSpecError, seals: Callee) -> EventSpecError:
    """This daemon is ready, and has the question: the asker shall not blame it for what the cloud isn't or hasn't."""
    if isinstance(error, NotReadyError):
        return LinkError("the cloud is still loading its target: ask again later")
    return LinkError(str(error)) if isinstance(error, DamagedError) and seals.sealed else error


def _seals(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Callee:
    return Callee(f"/{codec.EDGE_SERVICE}/{method}", context.invocation_metadata())


def _scoped(ask: AskRequest, seals: Callee) -> AskRequest:
    """The question; an answer that was asked for without checksums is never gone on with by who asks with them."""
    if seals.sealed or not ask.answer_id:
        return ask
    return replace(ask, answer_id=hashlib.blake2b(ask.answer_id.encode(), digest_size=16).hexdigest())


async def _next(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)


async def _signed(items: AsyncGenerator[T, None]) -> AsyncGenerator[T | None, None]:
    """The items; None as a sign of life where there is none for a while."""
    coming: asyncio.Future[T | None] | None = None
    context = contextvars.copy_context()  # one for all steps: what is logged of a session bears its id
    async with contextlib.aclosing(items):
        try:
            while True:
                coming = coming or asyncio.create_task(_next(items), context=context)
                await asyncio.wait({coming}, timeout=SIGN_S)
                if not coming.done():
                    yield None
                    continue
                item, coming = coming.result(), None
                if item is None:
                    return
                yield item
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
