"""From a question to a running answer: reads the files, opens the session's books, and reports what was measured."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from common.ask import AskEvent, AskRequest, Mode, Report, WatchRequest, WatchState
from common.errors import ModelError, PromptError
from common.logs import in_session
from common.replay import load_profile, replayed_label
from common.types import DrafterInfo, Open, Pace
from common.video import VIDEO_FRAMES
from edge.clips import ClipReader, ReadClip
from edge.config import MOST_BRANCHES, EdgeSettings
from edge.controller import Experience
from edge.drafter_model import DrafterModel
from edge.estimates import IDS
from edge.event_frames import read_event_frames
from edge.events.isolated import EventReader
from edge.idle_learning import IdleLearning
from edge.link import Link
from edge.runner import AnswerRunner, Features, NamedVideo, Video
from edge.session import EdgeSession
from edge.spool import Journal
from edge.stages import Stages
from edge.transcoding import check_codec, encoding_of
from edge.vision import ClipFeatures, VisionLoader
from edge.vocabularies import OWN, SHARED, TargetHash
from edge.watch_base import WatchBase, WatchTools
from edge.watching import Watches
from edge.worker import Drafting, DraftingThread

if TYPE_CHECKING:
    from numpy.typing import NDArray


_DRAFTING = (Mode.STREAM_TO_CLOUD, Mode.EDGE_ONLY)


class Answering:
    """Answers questions with one drafter and one link."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        drafter: DrafterModel,
        link: Link,
        thread: DraftingThread,
        files: Executor,
        events: EventReader | None = None,
        clips: ClipReader | None = None,
        vision: VisionLoader | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._drafter = drafter
        self._link = link
        self._thread = thread
        self._files = files
        self._allowed = settings.allowed
        self._events = events or EventReader(self._allowed)
        self._clips = clips or ClipReader(self._allowed, max_bytes=settings.max_video_bytes)
        self._vision = vision or VisionLoader(None, thread)
        self._clock = clock
        self._replay = load_profile(settings.replay) if settings.replay else None
        tools = WatchTools(
            drafter=drafter,
            link=link,
            thread=thread,
            files=files,
            events=self._events,
            allowed=self._allowed,
            clips=self._clips,
            max_answer_tokens=settings.max_answer_tokens,
            replay=self._replay,
            clock=clock,
            idle=lambda: self._running == 0,
            live_kbps=settings.live_kbps,
            live_hosts=settings.host_rules,
        )
        self._running = 0
        self._watches = Watches(tools, limit=settings.sessions)
        self._experience = Experience()
        learner = drafter.adapter.distiller if drafter.adapter is not None else None
        self._learning = IdleLearning(learner, thread) if learner is not None else None
        self.target = TargetHash(link.info)

    async def answer(self, ask: AskRequest, journal: Journal | None = None) -> AsyncGenerator[AskEvent, None]:
        """Answer one question; the last event is its report. With a journal it goes on where that says.

        Raises:
            InputError: the question or a file is at fault.
            EventSpecError: there is no answer, and why.
        """
        started = self._clock()
        watch = self._watches.get(ask.watch) if ask.watch else None
        max_tokens = self._check(ask, watch)
        drafts, cloud = ask.mode in _DRAFTING, ask.mode is not Mode.EDGE_ONLY
        stages = Stages(self._replay, clock=self._clock)
        ahead = _ahead(watch)
        drafter = await self._speaking(ask.mode)
        frames, video = await asyncio.gather(
            self._event_frames(ask, stages) if drafts and watch is None else _nothing(),
            self._open_clip(ask, stages, watch) if cloud else _nothing(),
        )
        book = drafter.book(self._experience.choice, self._settings.max_ahead) if drafts and cloud else None
        form = IDS if book is None else book.form.form.value
        branches = self._branches(ask, drafter) if drafts and cloud and book is None else 0
        length = self._experience.drafts(ask.draft_length, ask.pace, ask.patience_ms, self._settings.max_ahead, form)
        session = EdgeSession(
            opening=Open(
                session_id=journal.progress.session_id if journal is not None else uuid.uuid4().hex,
                question=ask.question,
                sampling=ask.sampling,
                max_tokens=max_tokens,
                pace=self._experience.pace(ask.pace, form) if drafts else ask.pace or Pace.EAGER,
                patience_ms=ask.patience_ms,
                drafter=drafter.info if drafts else DrafterInfo(tokenizer_hash=drafter.words.hash),
                clip=watch.id if watch is not None and cloud else "",
            ),
            settings=self._settings.session(drafts=drafts, cloud=cloud, branches=branches),
            eos_token_ids=drafter.eos_token_ids,
            length=length,
            started_at=started,
            book=book,
            vocab_size=drafter.words.vocab_size,
            first_epoch=journal.progress.epoch + 1 if journal is not None else 0,
            committed=list(journal.progress.committed) if journal is not None else [],
        )
        in_session(session.opening.session_id)
        if drafts and session.book is None:
            session.figures.draft_form = drafter.ids_form
        runner = AnswerRunner(
            session,
            link=self._link if cloud else None,
            thread=self._thread,
            prepare=self._preparation(drafter, ask, frames, max_tokens, stages, watch if drafts else None),
            prepare_after=watch.drafter_ready.wait if watch is not None and drafts else None,
            video=Features(video.header, video.frames) if isinstance(video, ClipFeatures) else video,
            decode=drafter.words.decode,
            settled=drafter.words.settled,
            clock=self._clock,
            journal=journal,
        )
        self._running += 1
        try:
            with self._learning.answering() if self._learning is not None else contextlib.nullcontext():
                async with contextlib.aclosing(runner.run()) as events:  # an asker that goes away ends the answer
                    async for event in events:
                        yield event
        except ModelError:
            self.target.forget()
            raise
        finally:
            self._running -= 1
            if isinstance(video, ClipFeatures):
                await video.close()
        if watch is not None and cloud:
            session.figures.uplink_bytes["video"] += watch.claim_bytes()
        age_ms = _age_ms(watch, session)
        yield Report({**self._report(drafter, ask, session, stages), "ahead": ahead, "frames_age_ms": age_ms})
        self._experience.choice.told(form, session.figures.draft_form)
        length.reflect()

    async def stop(self) -> None:
        """No answer is under way any more: what was learnt is kept."""
        if self._learning is not None:
            await self._learning.stop()

    def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        """Stream a clip, and take it in, ahead of its questions; for as long as this is iterated."""
        return self._watches.watch(watch)

    async def _speaking(self, mode: Mode) -> DrafterModel:
        """The drafter in the vocabulary that the answer will be in."""
        if mode is Mode.EDGE_ONLY or self._drafter.known is None:
            return self._drafter
        return self._drafter.speaking(await self.target.speaking(self._drafter.known))

    def _branches(self, ask: AskRequest, drafter: DrafterModel) -> int:
        """Other words that the drafter may try at a place."""
        wanted = self._settings.branches_tried if ask.branches is None else ask.branches
        return wanted if drafter.branches else 0

    def _preparation(
        self,
        drafter: DrafterModel,
        ask: AskRequest,
        frames: list[NDArray[Any]] | None,
        max_tokens: int,
        stages: Stages,
        watch: WatchBase | None,
    ) -> Callable[[], Drafting] | None:
        if watch is not None:
            return lambda: watch.drafter.take(ask.question, ask.sampling, stages, drafter)
        return drafter.prepare(ask, frames, max_tokens, stages) if frames is not None else None

    def _check(self, ask: AskRequest, watch: WatchBase | None) -> int:
        if not ask.question.strip():
            raise PromptError("the question is empty: ask something")
        if ask.max_tokens < 1:
            raise PromptError("max-tokens must be at least 1")
        if ask.branches is not None and not 0 <= ask.branches <= MOST_BRANCHES:
            raise PromptError(f"branches must be between 0 and {MOST_BRANCHES}, not {ask.branches}")
        check_codec(ask.video_codec)
        if encoding_of(ask.video_codec) and ask.mode is Mode.EDGE_VISION:
            raise PromptError("under edge_vision no video goes up, but features: leave out --video-codec")
        if watch is not None:
            if ask.mode is Mode.EDGE_VISION:
                raise PromptError("a watched clip goes up as video: edge_vision needs --video")
            if ask.mode in _DRAFTING and not watch.request.events_path:
                raise PromptError("this clip is watched without events, nobody can draft: use --mode cloud_only")
            return min(ask.max_tokens, self._settings.max_answer_tokens)
        if ask.mode in _DRAFTING and not ask.events_path:
            raise PromptError("name an event recording with --events (or use --mode cloud_only)")
        if ask.mode is not Mode.EDGE_ONLY and not ask.video_path:
            raise PromptError("name a video with --video (or use --mode edge_only)")
        return min(ask.max_tokens, self._settings.max_answer_tokens)

    async def _event_frames(self, ask: AskRequest, stages: Stages) -> list[NDArray[Any]]:
        config = self._drafter.model.config
        return await read_event_frames(ask.events_path, ask.window_start_us, config, stages, self._files, self._events)

    async def _open_clip(
        self, ask: AskRequest, stages: Stages, watch: WatchBase | None
    ) -> Video | NamedVideo | ClipFeatures:
        if watch is not None:  # only sent if the cloud has lost it
            return watch.video()
        if ask.mode is not Mode.EDGE_VISION:
            return await self._open_video(ask, stages)
        vision, clip = await asyncio.gather(self._vision.get(stages), self._load_clip(ask, stages))
        features = ClipFeatures(clip, vision, count=VIDEO_FRAMES, thread=self._thread, files=self._files, stages=stages)
        features.start()
        return features

    async def _open_video(self, ask: AskRequest, stages: Stages) -> Video:
        clip = await self._load_clip(ask, stages)
        return Video(clip.header, lambda: clip.sent(self._files))

    async def _load_clip(self, ask: AskRequest, stages: Stages) -> ReadClip:
        def work() -> ReadClip:
            with stages.span("load"):
                return self._clips.open(ask.video_path, encoding_of(ask.video_codec), self._settings.live_kbps)

        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    def _report(self, drafter: DrafterModel, ask: AskRequest, session: EdgeSession, stages: Stages) -> dict[str, Any]:
        ids = session.answer
        figures = session.figures
        for span in stages.spans:
            figures.stage(
                span.name, "edge", (span.started - figures.started_at) * 1e3, (span.ended - figures.started_at) * 1e3
            )
        figures.replay_overruns += stages.overruns
        return {
            "answer": drafter.words.decode(ids),
            "token_ids": ids,
            "finish_reason": session.reason.value if session.reason is not None else None,
            "tokens": len(ids),
            "vocabulary": _vocabulary(drafter, ask.mode),
            "mode": Mode.EDGE_ONLY.value if figures.alone else ask.mode.value,
            "question": ask.question,
            "pace": session.opening.pace.value,
            "seed": ask.sampling.seed,
            "temperature": ask.sampling.temperature,
            "frames": [[name.number, name.time_us / 1e6] for name in session.frames] or None,
            "replayed": self._replayed(ask.mode, figures.cloud_replay),
            **figures.report(len(ids)),
        }

    def _replayed(self, mode: Mode, cloud: str) -> str:
        """Whose stages were padded, of the sides whose models this mode runs."""
        edge = self._replay.name if self._replay is not None else ""
        if mode is Mode.CLOUD_ONLY:
            return cloud
        return edge if mode is Mode.EDGE_ONLY else replayed_label(edge, cloud)


def _vocabulary(drafter: DrafterModel, mode: Mode) -> str:
    """Whose the ids of an answer are, and how drafts got there."""
    if drafter.across is not None:
        return drafter.across.way.value
    return OWN if mode is Mode.EDGE_ONLY else SHARED


def _age_ms(watch: WatchBase | None, session: EdgeSession) -> float | None:
    """How old the newest frame of a live stream's answer was when the question came; None of other videos."""
    taken = watch.taken_at(session.frames[-1].number) if watch is not None and session.frames else None
    return None if taken is None else round((session.started_at - taken) * 1e3, 3)


def _ahead(watch: WatchBase | None) -> dict[str, Any] | None:
    """How far a watched clip had come when the question was asked."""
    if watch is None:
        return None
    state = watch.state()
    return {
        "frames_sent": state.frames_sent,
        "frames": state.frames,
        "bytes_sent": state.bytes_sent,
        "complete": state.complete,
        "drafter_ready": state.drafter_ready,
    }


async def _nothing() -> None:
    return None
