"""Runs one answer: the shell around `edge/session.py` that owns its stream, its drafter and its clock.

Everything that happens (a message, a finished draft, a lost stream, a timer) comes as an event through one queue; the
session decides; its actions are carried out here. The answer streams out as it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from common.ask import Answer, AskEvent, Notice
from common.errors import EngineError, EventSpecError, LinkError, MessageError, SessionError
from common.types import Draft, EdgeMessage, FrameName, Open
from common.video import FeaturesHeader, FrameFeatures, VideoHeader, VideoPacket
from edge.actions import Action, BranchJob, Connect, Distrust, Done, DraftJob, Named, Send, SendVideo, Show, Tell
from edge.link import Link, Stream
from edge.session import EdgeSession
from edge.spool import Journal
from edge.worker import Branching, Drafting, DraftingThread, Learns

Clock = Callable[[], float]
_AHEAD = 256  # messages that may wait for the session to take them in
_LOOK_S = 0.005
_GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class Video:
    """A clip ready to be sent: its header, and a way to read its packets (more than once)."""

    header: VideoHeader
    packets: Callable[[], Iterable[VideoPacket] | AsyncIterable[VideoPacket]]


@dataclass(frozen=True, slots=True)
class Features:
    """A clip that is sent as the target's features: what they are, and a way to read them (more than once)."""

    header: FeaturesHeader
    frames: Callable[[], AsyncIterable[FrameFeatures]]


class NamedVideo(Protocol):
    """A video of which the session says which frames it is about (`edge.live_video.LiveVideo`)."""

    def pin(self, frames: tuple[FrameName, ...]) -> None:
        """The question is about these: keep them."""

    def choose(self, *, told: bool) -> tuple[FrameName, ...]:
        """The frames that `video` will have. Raises EngineError: they are gone, and some of the answer is `told`."""

    def video(self) -> Video:
        """A video of the chosen frames."""


class AnswerRunner:
    """One answer.

    `prepare` runs in the drafter's thread, once `prepare_after` is over, and returns a drafter that has its prompt and
    events.
    """

    def __init__(
        self,
        session: EdgeSession,
        *,
        link: Link | None,
        thread: DraftingThread,
        prepare: Callable[[], Drafting] | None,
        prepare_after: Callable[[], Awaitable[Any]] | None = None,
        video: Video | Features | NamedVideo | None,
        decode: Callable[[list[int]], str],
        settled: Callable[[list[int]], str] | None = None,
        clock: Clock = time.monotonic,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal
        self._session = session
        self._link = link
        self._thread = thread
        self._prepare = prepare
        self._prepare_after = prepare_after
        self._video = video
        self._decode = decode
        self._settled = settled or decode
        self._clock = clock
        self._events: asyncio.Queue[Callable[[float], None]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream: Stream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._uploading: asyncio.Task[None] | None = None
        self._drafter: Drafting | None = None
        self._done: Done | None = None

    async def run(self) -> AsyncGenerator[AskEvent, None]:
        """Answer; yields the answer as it changes. Raises the error if there is none. Leaves nothing running."""
        try:
            if self._prepare is not None:
                self._spawn(self._prepare_drafter(self._prepare))
            async for event in self._perform(self._session.drain()):
                yield event
            while self._done is None:
                happened = await self._events.get()
                happened(self._clock())
                while not self._events.empty():
                    self._events.get_nowait()(self._clock())
                async for event in self._perform(self._session.drain()):
                    yield event
                if self._events.empty():
                    self._session.length.think()
            if self._done.error is not None:
                raise self._done.error
        finally:
            await self._clean_up()

    async def _perform(self, actions: list[Action]) -> AsyncIterator[AskEvent]:
        last_show: Show | None = None
        for action in actions:
            match action:
                case Connect(at):
                    self._spawn(self._connect(at))
                case Distrust():
                    if self._stream is not None:
                        self._stream.distrust()
                case Send(message):
                    await self._send(message)
                case Named(frames):
                    if self._video is not None and not isinstance(self._video, Video | Features):
                        self._video.pin(frames)
                case SendVideo():
                    if self._uploading is not None:  # to a stream before this one
                        self._uploading.cancel()
                    self._uploading = self._spawn(self._send_video())
                case DraftJob():
                    self._spawn(self._draft(action))
                case BranchJob():
                    self._branch(action)
                case Tell(text):
                    yield Notice(text)
                case Show():
                    last_show = action  # several changes at once: the last one counts
                case Done():
                    self._done = action
        if last_show is not None:
            if self._journal is not None:
                self._journal.commit(last_show.committed)
            yield self._answer(last_show)

    def _answer(self, show: Show) -> Answer:
        committed = self._settled(list(show.committed))
        whole = self._decode([*show.committed, *show.provisional])
        at_ms = (self._clock() - self._session.started_at) * 1e3
        return Answer(committed, whole[len(committed) :] if whole.startswith(committed) else "", at_ms)

    # ------------------------------------------------------------------------------------------ what happens

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _prepare_drafter(self, prepare: Callable[[], Drafting]) -> None:
        try:
            if self._prepare_after is not None:
                await self._prepare_after()
            self._drafter = await self._thread.run(prepare)
        except Exception as error:
            self._drafter_failed(error)
            return
        self._put(self._session.drafter_ready)

    async def _draft(self, job: DraftJob) -> None:
        assert self._drafter is not None
        try:
            drafted = await self._thread.draft(self._drafter, job)
        except Exception as error:
            self._drafter_failed(error)
            return
        self._put(partial(self._session.drafted, drafted.ids, states=drafted.states))

    def _branch(self, job: BranchJob) -> None:
        """Only while nobody else needs the drafter's thread."""
        drafter = self._drafter
        if self._thread.busy or not isinstance(drafter, Branching):
            self._session.branched(None, self._clock())
            return
        self._spawn(self._grow(drafter, job))

    async def _grow(self, drafter: Branching, job: BranchJob) -> None:
        try:
            made = await self._thread.run(drafter.branch, job)
        except Exception as error:
            self._drafter_failed(error)
            return
        self._put(partial(self._session.branched, made))

    async def _connect(self, at: float) -> None:
        assert self._link is not None
        await self._drop_stream()
        await asyncio.sleep(max(0.0, at - self._clock()))
        try:
            self._stream = await self._link.open()
        except Exception as error:
            self._put(partial(self._session.connect_failed, _known(error)))
            return
        self._reader = self._spawn(self._read(self._stream))
        self._put(self._session.connected)

    async def _read(self, stream: Stream) -> None:
        while True:
            while self._events.qsize() > _AHEAD:  # faster than they are taken in: the line waits
                await asyncio.sleep(_LOOK_S)
            try:
                message, size = await stream.receive()
            except Exception as error:
                known = _known(error)
                if isinstance(known, LinkError | MessageError):
                    if stream is self._stream:
                        self._lost(known)
                else:
                    self._put(partial(self._session.refused, known))
                return
            self._session.figures.downlink_bytes += size
            self._put(partial(self._session.received, message))

    async def _send(self, message: EdgeMessage) -> None:
        if self._stream is None:
            return
        if self._journal is not None and isinstance(message, Open):
            self._journal.connecting(message.epoch)
        try:
            size = await self._stream.send(message)
        except EventSpecError as error:
            if self._reader is None or self._reader.done():
                return  # it has reported the loss
            self._lost(error if isinstance(error, LinkError) else LinkError(str(error)))
            return
        kind = "drafts" if isinstance(message, Draft) else "control"
        self._session.figures.uplink_bytes[kind] += size

    async def _send_video(self) -> None:
        assert self._link is not None and self._video is not None
        stream, started = self._stream, self._clock()
        try:
            size = await self._upload(self._link, self._video)
        except Exception as error:
            known = _known(error)
            if stream is not self._stream:
                return  # about a session that has gone on without it; what is wrong with the video will be said again
            if isinstance(known, LinkError | SessionError):  # its session may not have reached the cloud
                self._lost(known)  # this stream's session has no video: a resume asks for it again
            else:
                self._put(partial(self._session.refused, known))
            return
        self._session.figures.uplink_bytes["video"] += size
        self._session.length.estimates.uplink(size, self._clock() - started)
        self._span("video_upload", started)

    async def _upload(self, link: Link, video: Video | Features | NamedVideo) -> int:
        session_id = self._session.opening.session_id
        if not isinstance(video, Video | Features):
            self._session.frames = video.choose(told=bool(self._session.committed))
            video = video.video()
        if isinstance(video, Features):
            return await link.send_features(session_id, video.header, video.frames())
        return await link.send_video(session_id, video.header, video.packets())

    # ------------------------------------------------------------------------------------------------ helpers

    def _put(self, event: Callable[[float], None]) -> None:
        self._events.put_nowait(event)

    def _drafter_failed(self, error: Exception) -> None:
        """Whatever it is (torch's own errors too), the session must hear of it, or it would wait for ever."""
        known = error if isinstance(error, EventSpecError) else EngineError(f"the drafter failed: {error}")
        self._put(partial(self._session.drafter_failed, known))

    def _lost(self, error: EventSpecError) -> None:
        self._put(partial(self._session.link_lost, error))

    def _span(self, name: str, started: float) -> None:
        base = self._session.started_at
        self._session.figures.stage(name, "edge", (started - base) * 1e3, (self._clock() - base) * 1e3)

    async def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        if stream is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stream.close(), timeout=1.0)

    async def _clean_up(self) -> None:
        self._session.cancel(self._clock())
        parting = self._journal is not None and self._journal.parting
        for action in self._session.drain():
            if isinstance(action, Send) and not parting:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._send(action.message), _GOODBYE_S)
        await self._drop_stream()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        drafter = self._drafter
        if isinstance(drafter, Learns) and self._session.committed:
            with contextlib.suppress(EventSpecError):  # it may have failed: there is nothing to learn then
                await self._thread.run(drafter.learn, list(self._session.committed))
        if drafter is not None and hasattr(drafter, "close"):
            await self._thread.run(drafter.close)


def _known(error: Exception) -> EventSpecError:
    """What the session may hear: what isn't this project's own came of a peer, or of the line to it."""
    return error if isinstance(error, EventSpecError) else LinkError(f"the link failed ({type(error).__name__})")
