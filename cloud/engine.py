"""The engine: many sessions, one packed forward a step. Pure: no I/O, no clock, no threads; `now` is an argument.

`handle` takes a message for one session in; `step` runs whatever is due: at most one chunk of vision, then one packed
forward over prompt chunks, drafts and single tokens of all due sessions, whose choices it settles into commits. Where
somebody is answering, a step has a chunk of vision or one of prompts, not both. All tensor work is behind `Runner`,
which also says how long it took. Who holds a slot is in `cloud/slots.py`, how sessions begin in `cloud/opening.py`,
what waits for vision in `cloud/vision_queue.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cloud.draft_states import DraftReader
from cloud.engine_limits import EngineLimits
from cloud.engine_stats import EngineStats
from cloud.integrity import check_integrity
from cloud.messages import EngineMessage, Frames, LiveFrames, OpenClip, Output, Park, VideoFailed
from cloud.opening import Opening
from cloud.runner import Runner, Work
from cloud.scheduler import Scheduled, next_due, schedule
from cloud.session import Session
from cloud.shares import Shares
from cloud.slots import Slots
from cloud.state_page import Held
from cloud.vision_queue import VisionQueue
from common.errors import EngineError, EventSpecError
from common.failures import failure_of
from common.types import (
    Cancel,
    Close,
    CloudMessage,
    Commit,
    Draft,
    Failure,
    FailureCode,
    Finished,
    FinishReason,
    Open,
    Stage,
)


class Engine:
    """See the module's docstring."""

    def __init__(self, runner: Runner, limits: EngineLimits | None = None) -> None:
        self.limits = limits or EngineLimits()
        self.stats = EngineStats()
        self._runner = runner
        self._shares = Shares()
        self._frames = VisionQueue(runner, self._shares, self.limits.vision_chunk)
        self._slots = Slots(runner, self.limits, self.stats, self._frames)
        self._sessions = self._slots.sessions
        self._opening = Opening(runner, self.limits, self._slots, self.stats)
        self._drafts = DraftReader(runner, self.limits)
        self.suspects: frozenset[str] = frozenset()  # sessions that were there when an engine died
        self.at_work: Callable[[Sequence[str]], None] = lambda session_ids: None  # hears who is worked on
        self._turn = 0

    # ----------------------------------------------------------------------------------------- messages in

    def handle(self, session_id: str, message: EngineMessage, now: float) -> list[Output]:
        """Take one message in; returns what its edge must hear at once. A bad message fails its session only."""
        live = isinstance(message, LiveFrames | VideoFailed) and self._slots.live.get(session_id) is not None
        if not live and not isinstance(message, Open):
            session_id = self._slots.clips.owner(session_id)
        try:
            replies = self._dispatch(session_id, message, now)
        except EventSpecError as error:
            if not isinstance(message, Open) or isinstance(error, EngineError):
                self._slots.release(session_id)
            replies = [failure_of(error)]
        except Exception as error:  # the runner's, over this one message
            self._slots.release(session_id)
            replies = [failure_of(EngineError(f"the target failed: {error}"))]
        return [Output(session_id, reply) for reply in replies]

    def _dispatch(self, session_id: str, message: EngineMessage, now: float) -> list[CloudMessage]:
        session = self._sessions.get(session_id)
        if not self.limits.fair_shares and isinstance(message, Open | OpenClip):
            message = replace(message, client="")  # all are one: first come, first served
        if isinstance(message, Open):
            return self._opening.open(message, now)
        if isinstance(message, OpenClip):
            self._opening.open_clip(session_id, message, now)
            return []
        if isinstance(message, LiveFrames):
            self._slots.live.take(session_id, message, now)
            return []
        if isinstance(message, VideoFailed) and self._slots.live.get(session_id) is not None:
            self._slots.drop_clip(session_id)  # a question that has its slot has its features too, and goes on
            return []
        if session is None:
            return []  # late words to a session that is gone
        session.heard_at = now
        match message:
            case Draft():
                draft = self._drafts.read(session, message)
                session.refuse(message) if draft is None else session.offer(draft)
                if session.last_draft_id == message.draft_id:
                    session.work_since = now
            case Frames():
                self._frames.take(session_id, session, self._slots.shapes[session_id], message)
            case VideoFailed(text):
                self._slots.release_video(session_id)
                return [Failure(FailureCode.VIDEO, text)]
            case Cancel():
                session.reason = session.reason or FinishReason.CANCELLED
                return [session.finished()]
            case Park():
                session.park(now)
            case Close():
                self._slots.release(session_id)
        return []

    def fail(self, session_id: str, error: EventSpecError) -> Output:
        """A session or clip is over, since its message can't be read or its output can't be told."""
        name = self._slots.clips.owner(session_id)
        self._slots.drop_clip(name) if name in self._slots.clips else self._slots.release(name)
        return Output(session_id, failure_of(error))

    # --------------------------------------------------------------------------------------------- stepping

    def next_due(self) -> float | None:
        """When `step` next has work: a time that may lie in the past, or None while everything waits for peers."""
        if self._frames or self._slots.live.waiting:
            return -np.inf
        return next_due(self._sessions.values())

    def step(self, now: float) -> list[Output]:
        """Run what is due. An error of the runner fails the sessions in that step and no other."""
        progress, encode_us = self._encode_one(now)
        shared = self._slots.draft_credits
        for session in self._sessions.values():
            session.credit = shared.of(session.client)
        scheduled = schedule(self._sessions.values(), now, self.limits.budget, spent=encode_us > 0, shares=self._shares)
        scheduled = self._suspects_alone(scheduled)
        if not scheduled:
            return progress
        try:
            outputs = self._forward(scheduled, now, encode_us)
        except Exception:
            outputs = self._forward_each(scheduled, now, encode_us)
        return sorted([*outputs, *progress], key=_urgency)

    def _forward(self, scheduled: Sequence[Scheduled], now: float, encode_us: int) -> list[Output]:
        self.at_work([one.session.open.session_id for one in scheduled])
        scheduled = [self._drafts.renewed(one) for one in scheduled]
        result = self._runner.forward([self._work(one) for one in scheduled])
        self.stats.forwarded(result.forward_us, len(scheduled))
        outputs: list[Output] = []
        for one, choices in zip(scheduled, result.choices, strict=True):
            began_us = one.session.age_us(now) + encode_us
            outputs += self._settle(one, choices, now, began_us, result.forward_us, len(scheduled))
        return outputs

    def _forward_each(self, scheduled: Sequence[Scheduled], now: float, encode_us: int) -> list[Output]:
        """After a forward that failed: each session again by itself, so that only one that fails again fails.

        Keys and values are written in place at the same positions again, so that nothing is done twice.
        """
        outputs: list[Output] = []
        for one in scheduled:
            try:
                outputs += self._forward([one], now, encode_us)
            except Exception as again:
                outputs += self._fail_all([one], again)
        return outputs

    def _suspects_alone(self, scheduled: list[Scheduled]) -> list[Scheduled]:
        """Sessions that were there when an engine died run in steps of their own, in turn with all others."""
        suspects = [one for one in scheduled if one.session.open.session_id in self.suspects]
        if not suspects or len(scheduled) == 1:
            return scheduled
        others = [one for one in scheduled if one not in suspects]
        self._turn = (self._turn + 1) % (len(suspects) + bool(others))
        return [suspects[self._turn]] if self._turn < len(suspects) else others

    def _encode_one(self, now: float) -> tuple[list[Output], int]:
        """Encode one chunk of frames; what that tells, and how long it took in microseconds."""
        if not self._frames:
            return [], self._encode_live(now)
        session_id, chunk = self._frames.next_chunk(self._sessions)
        session, shape = self._sessions[session_id], self._slots.shapes[session_id]
        self.at_work((session_id,))
        try:
            took_us = self._frames.encode(session, chunk, now)
        except Exception as error:
            self._slots.release_video(session_id)
            failure = Failure(FailureCode.ENGINE, f"encoding the video failed: {error}")
            return [Output(session_id, failure)], 0
        self.stats.vision_us += took_us
        if session.available < shape.video_start + shape.video_length or session_id in self._slots.clips:
            return [], took_us
        session.available = shape.length
        done = () if chunk.encoded else (Stage.VIDEO_DECODE, Stage.VISION_ENCODE)
        return [Output(session_id, session.progress(stage)) for stage in done], took_us

    def _encode_live(self, now: float) -> int:
        """Encode one chunk of a live stream's frames; how long it took in microseconds."""
        clip_id = self._slots.live.next_waiting()
        if clip_id is None:
            return 0
        try:
            took_us = self._slots.live.encode(clip_id, self.limits.vision_chunk, now)
        except Exception:  # the runner's: this stream's features can't be relied on
            self._slots.drop_clip(clip_id)
            return 0
        self.stats.vision_us += took_us
        return took_us

    @staticmethod
    def _work(one: Scheduled) -> Work:
        session, feed = one.session, one.feed
        stop = feed.start + feed.known
        prompt_stop = max(feed.start, min(stop, session.prompt_length))
        first, last = prompt_stop - session.prompt_length, stop - session.prompt_length
        committed = session.committed[max(first, 0) : max(last, 0)]
        return Work(
            slot=session.slot,
            start=feed.start,
            prompt_stop=prompt_stop,
            answer=(*committed, *feed.draft),
            choices=len(feed.draft) + 1 if feed.chooses else 0,
            position=len(session.committed),
            sampling=session.open.sampling,
        )

    def _settle(
        self, one: Scheduled, choices: list[int] | None, now: float, began_us: int, forward_us: int, waiting: int
    ) -> list[Output]:
        session = one.session
        session_id = session.open.session_id
        if choices is None:
            self._slots.release(session_id, poisoned=True)
            message = "the target's logits aren't finite; try another dtype or check the weights"
            return [Output(session_id, Failure(FailureCode.ENGINE, message))]
        prefilling = not session.prefilled
        commit = session.settle(one.feed, choices, now, forward_us, waiting)
        messages: list[CloudMessage] = []
        if commit is not None:
            self._count(session, commit, now + forward_us / 1e6)
            messages.append(commit)
        if prefilling:
            session.span(Stage.PREFILL, began_us, began_us + forward_us)
            if session.prefilled:
                messages.append(session.progress(Stage.PREFILL))
        if session.reason is not None:
            messages.append(session.finished())
        return [Output(session_id, m) for m in messages]

    def _count(self, session: Session, commit: Commit, done: float) -> None:
        self.stats.commit(commit)
        if len(session.committed) == len(commit.token_ids):
            session.first_at = done
            self.stats.ttft.observe((done - session.opened_at) * 1e6)
        elif session.reason is not None and session.first_at:
            self.stats.tpot.observe((done - session.first_at) * 1e6 / (len(session.committed) - 1))

    def _fail_all(self, scheduled: Sequence[Scheduled], error: Exception) -> list[Output]:
        outputs = []
        for one in scheduled:
            session_id = one.session.open.session_id
            self._slots.release(session_id, poisoned=True)
            failure = Failure(FailureCode.ENGINE, f"the target's forward failed: {error}")
            outputs.append(Output(session_id, failure))
        return outputs

    # ------------------------------------------------------------------------------------------ housekeeping

    @property
    def sessions(self) -> int:
        """Sessions held, parked ones included."""
        return len(self._sessions)

    @property
    def held(self) -> Held:
        """What is held."""
        return self._slots.held

    def gauge(self, now: float) -> None:
        """Write into `stats` what is so at the moment."""
        due = (session.due_at() for session in self._sessions.values())
        self.stats.sessions_waiting = sum(at is not None and at <= now for at in due)
        self.stats.frames_waiting = self._frames.count
        self.stats.kv_tokens = sum(session.kv_length for session in self._sessions.values())
        self.stats.draft_credit = self._slots.draft_credits.least

    def expire(self, now: float) -> list[Output]:
        """Free parked sessions whose lease is over, and those of a silent edge, which is told."""
        self._slots.expire(now)
        silent = self._slots.silent(now)
        for name in silent:
            self._slots.release(name)
        message = f"nothing came for {self._slots.lease_s:.0f} s: the session's lease is over; resume to go on"
        return [Output(name, Failure(FailureCode.UNAVAILABLE, message, retryable=True)) for name in silent]

    def check_integrity(self) -> None:
        """Raise EngineError if slots, lengths and sessions don't add up."""
        check_integrity(self._slots, count=self._runner.slots, capacity=self._runner.capacity)

    def heal(self) -> list[int]:
        """Free slots that nobody holds; returns them. What else `check_integrity` finds can't be mended."""
        return self._slots.heal()


def _urgency(output: Output) -> int:
    """Commits are what everyone waits for, stages can be told after them; an end comes last."""
    return {Commit: 0, Finished: 2}.get(type(output.message), 1)
