"""Draining: no new sessions, running ones end, or are sent elsewhere when the time is over.

Who is sent elsewhere hears of a failure that is worth a retry: its edge resumes at another cloud, where the answer is
replayed and goes on, token for token; with no other cloud it tries here again, and finishes alone after a while. The
engine parks the session, so that a drain that is undone finds its keys and values.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from cloud.front_counters import FrontCounters
from cloud.streams import StreamTable
from common import codec
from common.door import Door, host_of
from common.errors import AuthorizationError, DrainingError, EventSpecError
from common.rpc import abort
from common.sealing import Callee
from common.security import is_local
from common.types import DrainState

log = logging.getLogger("eventspec.cloud")

_LOOK_S = 0.05
_FAREWELL_S = 0.5  # for the last words to get out


class Draining:
    """Whether this cloud drains, and until when. `on_change` is called when it begins or is undone."""

    def __init__(
        self,
        streams: StreamTable,
        counters: FrontCounters,
        door: Door,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._streams = streams
        self._counters = counters
        self._door = door
        self.on_change = on_change
        self.active = False
        self._ends_at = float("inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> DrainState:
        """How it stands."""
        return DrainState(self.active, len(self._streams), self._counters.handed_over)

    def begin(self, grace_s: float) -> None:
        """Take no new sessions; those that run get this long. Begun before, it ends at the earlier time."""
        self._ends_at = min(self._ends_at, time.monotonic() + grace_s)
        if not self.active:
            self.active = True
            log.info("draining: %d sessions have %.0f s to end", len(self._streams), grace_s)
            self._task = asyncio.create_task(self._run())
            self.on_change()

    def undo(self) -> None:
        """Take new sessions again."""
        if self._task is not None:
            self._task.cancel()
        self._ends_at = float("inf")
        if self.active:
            self.active = False
            log.info("taking new sessions again")
            self.on_change()

    async def finish(self, grace_s: float) -> None:
        """Drain, and wait until all is over."""
        self.begin(grace_s)
        while len(self._streams) and time.monotonic() < self._ends_at + _FAREWELL_S:
            await asyncio.sleep(_LOOK_S)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while len(self._streams) and time.monotonic() < self._ends_at:
            await asyncio.sleep(_LOOK_S)
        if len(self._streams):
            log.info("sending %d sessions elsewhere", len(self._streams))
            self._counters.handed_over += len(self._streams)
            self._streams.send_away(DrainingError("this cloud is going down; go on at another, or here in a while"))

    async def handle(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """The call of an operator. Where no token says who is one, it is whoever is on this machine."""
        seals = Callee(f"/{codec.SERVICE}/Drain", context.invocation_metadata())
        try:
            request = seals.open(request)
            self._door.principal(context)
            if not self._door.has_tokens and not _from_here(context.peer()):
                raise AuthorizationError("without --tokens, a cloud is drained from its own machine only")
            undo, grace_ms = codec.decode_drain(request)
        except EventSpecError as error:
            await self._door.hold()
            await abort(context, error, seals.start)
        if undo:
            self.undo()
        else:
            self.begin(grace_ms / 1e3)
        return seals.seal(codec.encode_drain_state(self.state))


def _from_here(peer: str) -> bool:
    host = host_of(peer)
    return host == "local" or is_local(f"[{host}]:0")
