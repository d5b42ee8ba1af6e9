"""The edge daemon's local gRPC service. It reads files with the daemon's rights: keep it on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from common import codec
from common.ask import AskEvent, AskRequest, EdgeStatus, WatchRequest, WatchState
from common.door import Door
from common.errors import CapacityError, EventSpecError, LinkError, NotReadyError
from common.rpc import abort


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
        self._running += 1
        try:
            if self._running > self._limit:
                raise CapacityError(f"{self._limit} answers are in progress; ask again in a moment")
            standing = self._door.standing(f"/{codec.EDGE_SERVICE}/Ask", context)
            async with contextlib.aclosing(self._answers.answer(codec.decode_ask(request))) as events:
                async for event in events:
                    standing.check()
                    yield codec.encode_ask_event(event)
        except EventSpecError as error:
            await abort(context, _for_asker(error))
        finally:
            self._running -= 1

    async def watch(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        """A clip, watched for as long as the caller listens."""
        try:
            standing = self._door.standing(f"/{codec.EDGE_SERVICE}/Watch", context)
            async with contextlib.aclosing(self._answers.watch(codec.decode_watch(request))) as states:
                async for state in states:
                    standing.check()
                    yield codec.encode_watch_state(state)
        except EventSpecError as error:
            await abort(context, _for_asker(error))

    async def status(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """How the daemon is."""
        running = self._running + self._orphans()
        return codec.encode_status(EdgeStatus(self._drafter, self._cloud, self.cloud_reachable, running))


def _for_asker(error: EventSpecError) -> EventSpecError:
    """This daemon is ready; the one that isn't is the cloud, and the asker shall not take it for this one."""
    return (
        LinkError("the cloud is still loading its target: ask again later")
        if isinstance(error, NotReadyError)
        else error
    )
