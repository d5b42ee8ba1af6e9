"""The edge daemon: one drafter thread, one link, a local service; from start to graceful end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from common.access import Scope
from common.codec import EDGE_SERVICE
from common.errors import EventSpecError
from common.metrics import Read
from common.metrics_server import MetricsServer
from common.server import DaemonServer, run_daemon
from common.tracing import close_spans, open_spans
from edge.answering import Answering
from edge.clips import ClipReader
from edge.config import EdgeSettings, cloud_addresses
from edge.counters import EdgeCounters
from edge.desk import AnswerDesk
from edge.drafter_model import DrafterModel
from edge.events.isolated import DAEMON_EVENTS, DAEMON_LIMITS, EventReader
from edge.link import GrpcLink, Link, LinkSettings
from edge.metered import MeteredAnswers
from edge.metrics import EdgeMetrics
from edge.replicas import ReplicaLink
from edge.service import EdgeService
from edge.spool import Spool
from edge.vision import VisionLoader
from edge.worker import DraftingThread

log = logging.getLogger("eventspec.edge")

_BRIEFLY_S = 1.0
SCOPES = {"Ask": Scope.ASK, "Watch": Scope.ASK, "Status": Scope.INFO}


class EdgeDaemon:
    """Everything that runs in the edge process."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._thread = DraftingThread()
        # as many as may ever read: one that a slow disk holds up takes no other's place
        self._files = ThreadPoolExecutor(4 * settings.sessions + 4, thread_name_prefix="files")
        self._events = EventReader(settings.allowed, DAEMON_LIMITS, max_events=DAEMON_EVENTS)
        self._clips = ClipReader(settings.allowed, max_bytes=settings.max_video_bytes, places=2 * settings.sessions)
        self._link = _link_to(cloud_addresses(settings.cloud), settings)
        self._server = DaemonServer(EDGE_SERVICE, settings.max_message_bytes, settings.security, SCOPES)
        self._spool = Spool(Path(settings.spool) if settings.spool else None, self._files)
        self._desk: AnswerDesk | None = None
        self._answering: Answering | None = None
        self._counters = EdgeCounters()
        self._spans = open_spans(settings.otel, "eventspec-edge")
        self._metrics: MetricsServer | None = None
        self._read: Read = list  # nothing to tell before the drafter is loaded
        self.address = ""

    async def start(self) -> None:
        """Listen, load the drafter, serve. Raises SettingsError or ModelError."""
        self.address = await self._server.listen(self._settings.listen)
        if self._settings.metrics:
            self._metrics = MetricsServer(self._settings.metrics, lambda: self._read(), self._settings.security)
        from edge.loading import load_drafter, load_vision

        log.info("loading the drafter")
        drafter = await self._thread.run(load_drafter, self._settings)
        await asyncio.get_running_loop().run_in_executor(self._files, self._events.warm_up)
        await asyncio.get_running_loop().run_in_executor(self._files, self._clips.warm_up)
        vision = VisionLoader(partial(load_vision, self._settings) if self._settings.has_vision else None, self._thread)
        answering = Answering(
            self._settings,
            drafter=drafter,
            link=self._link,
            thread=self._thread,
            files=self._files,
            events=self._events,
            clips=self._clips,
            vision=vision,
        )
        self._answering = answering
        self._desk = desk = AnswerDesk(MeteredAnswers(answering, self._counters, self._spans), self._spool, self._files)
        service = EdgeService(
            desk,
            drafter=drafter.name,
            cloud=self._settings.cloud,
            sessions=self._settings.sessions,
            orphans=lambda: desk.orphans,
            door=self._server.door,
        )
        self._read = EdgeMetrics(self._counters, drafter.name, lambda: desk.orphans).read
        if found := await desk.recover():
            log.info("going on with %d answers that the daemon before this left", found)
        await self._server.serve(service.handlers())
        log.info("drafter %s", drafter.name)
        answering.target.value = await self._greet(service, drafter)

    async def _greet(self, service: EdgeService, drafter: DrafterModel) -> str:
        """Says in the log who the cloud is; returns the hash of its tokenizer, empty if there is no cloud."""
        try:
            info = await self._link.info(timeout=2.0)
        except EventSpecError as error:
            log.warning("no cloud at %s yet (%s); the edge answers alone until it comes", self._settings.cloud, error)
            return ""
        service.cloud_reachable = True
        book = drafter.book()
        if book is not None and info.adapter != book.form.adapter:
            log.warning("the cloud hasn't this edge's adapter (its own: %s): drafts go as ids", info.adapter or "none")
        if info.tokenizer_hash != drafter.tokenizer.hash:
            log.warning("the cloud's target %s has another tokenizer than the drafter", info.model_name)
            _log_vocabulary(drafter, info.tokenizer_hash)
        log.info("cloud at %s: target %s", self._settings.cloud, info.model_name)
        return info.tokenizer_hash

    async def stop(self) -> None:
        """End everything; spooled answers stay for the next daemon.

        Answers get the grace, and what has to be ended a second at a time: a cloud that takes nothing any more, a
        drafter in the middle of a prompt or a collector that isn't there hold nothing up.
        """
        if self._desk is not None:
            self._desk.leave()
        await self._server.stop(self._settings.grace_s)
        if self._desk is not None:
            await _briefly("the answers", self._desk.stop())
        if self._answering is not None:
            await _briefly("what was learnt", self._answering.stop())
        await _briefly("the link", self._link.close())
        if not await self._thread.leave(_BRIEFLY_S):
            log.warning("the drafter is still at work; going without it")
        self._files.shutdown(wait=False, cancel_futures=True)
        self._events.close()
        self._clips.close()
        if self._metrics is not None:
            self._metrics.close()
        await close_spans(self._spans)


async def _briefly(what: str, ending: Awaitable[None]) -> None:
    """Wait for an end, but not for long."""
    try:
        await asyncio.wait_for(ending, _BRIEFLY_S)
    except TimeoutError:
        log.warning("%s took too long to end; going without", what)


def _link_to(clouds: list[str], settings: EdgeSettings) -> Link:
    """A link to a cloud, or to several that take turns."""
    links = [GrpcLink(LinkSettings(cloud, settings.max_message_bytes, settings.reach)) for cloud in clouds]
    return links[0] if len(links) == 1 else ReplicaLink(links)


def _log_vocabulary(drafter: DrafterModel, target: str) -> None:
    """What becomes of drafts for a target with another tokenizer."""
    try:
        words = drafter.known.speaking(target) if drafter.known is not None else None
    except EventSpecError as error:
        log.warning("%s", error)
        return
    if words is not None:
        log.info("drafts go across by %s; %d pieces are in both vocabularies", words.way.value, len(words.twins))


async def serve(settings: EdgeSettings) -> None:
    """Run until a signal ends it. Prints one line when ready."""
    await run_daemon(EdgeDaemon(settings), "eventspec-edge")
