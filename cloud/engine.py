"""The engine: many sessions, one packed forward a step. Pure: no I/O, no clock, no threads; `now` is an argument.

`handle` takes a message for one session in; `step` runs whatever is due: at most one chunk of vision, then one packed
forward over prompt chunks, drafts and single tokens of all due sessions, whose choices it settles into commits. Where
somebody is answering, a step has a chunk of vision or one of prompts, not both. All
tensor work is behind `Runner`, which also says how long it took.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from cloud.clips import Clip, ClipTable
from cloud.credits import Credits, share_out
from cloud.draft_states import DraftReader
from cloud.engine_limits import EngineLimits
from cloud.engine_stats import EngineStats
from cloud.live import LiveClip
from cloud.live_streams import LiveStreams
from cloud.messages import EngineMessage, Frames, LiveFrames, OpenClip, Output, Park, VideoFailed
from cloud.runner import PromptShape, Runner, Work
from cloud.scheduler import Scheduled, next_due, schedule
from cloud.session import Session
from cloud.shares import Shares, may_hold
from cloud.state_page import Held
from common.errors import CapacityError, EngineError, EventSpecError, MismatchError, PromptError
from common.failures import failure_of
from common.types import (
    WIRE_VERSION,
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
    Opened,
    Stage,
)

_SHORTEST_LEASE_S = 10.0
_FULL_MS = 500  # after which a place may be free
_NO_QUESTION = "?"  # stands in a clip's prompt until somebody asks


class Engine:
    """See the module's docstring."""

    def __init__(self, runner: Runner, limits: EngineLimits | None = None) -> None:
        self.limits = limits or EngineLimits()
        self.stats = EngineStats()
        self._runner = runner
        self._sessions: dict[str, Session] = {}
        self._free = list(range(runner.slots))
        self._frames: deque[tuple[str, Frames]] = deque()
        self._shapes: dict[str, PromptShape] = {}
        self._clips = ClipTable()
        self._shares = Shares()
        self.suspects: frozenset[str] = frozenset()  # sessions that were there when an engine died
        self.at_work: Callable[[Sequence[str]], None] = lambda session_ids: None  # hears who is worked on
        self._turn = 0
        self._drafts = DraftReader(runner, self.limits)
        self._live = LiveStreams(runner, self._clips, self.limits.max_window_bytes)

    # ----------------------------------------------------------------------------------------- messages in

    def handle(self, session_id: str, message: EngineMessage, now: float) -> list[Output]:
        """Take one message in; returns what its edge must hear at once. A bad message fails its session only."""
        if not (isinstance(message, LiveFrames | VideoFailed) and self._live.get(session_id) is not None):
            session_id = self._clips.owner(session_id)
        try:
            replies = self._dispatch(session_id, message, now)
        except EventSpecError as error:
            if not isinstance(message, Open) or isinstance(error, EngineError):
                self._release(session_id)
            replies = [failure_of(error)]
        except Exception as error:  # the runner's, over this one message
            self._release(session_id)
            replies = [failure_of(EngineError(f"the target failed: {error}"))]
        return [Output(session_id, reply) for reply in replies]

    def _dispatch(self, session_id: str, message: EngineMessage, now: float) -> list[CloudMessage]:
        session = self._sessions.get(session_id)
        if not self.limits.fair_shares and isinstance(message, Open | OpenClip):
            message = replace(message, client="")  # all are one: first come, first served
        if isinstance(message, Open):
            return self._open(message, now)
        if isinstance(message, OpenClip):
            return self._open_clip(session_id, message, now)
        if isinstance(message, LiveFrames):
            self._live.take(session_id, message, now)
            return []
        if isinstance(message, VideoFailed) and self._live.get(session_id) is not None:
            self._drop_clip(session_id)  # a question that has its slot has its features too, and goes on
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
                self._take_frames(session_id, message)
            case VideoFailed(text):
                self._release_video(session_id)
                return [Failure(FailureCode.VIDEO, text)]
            case Cancel():
                session.reason = session.reason or FinishReason.CANCELLED
                return [session.finished()]
            case Park():
                session.park(now)
            case Close():
                self._release(session_id)
        return []

    def _open(self, message: Open, now: float) -> list[CloudMessage]:
        if message.session_id in self._clips:
            raise CapacityError("this id is a clip's; choose another for the session")
        known = self._sessions.get(message.session_id)
        if known is not None:
            if not message.resume:
                raise CapacityError("this session id is in use; choose another, or resume with a later epoch")
            if known.can_resume(message):
                return self._resume(known, message, now)
            self._release(message.session_id)
        self._check_open(message)
        self._expire(now)
        live, clip = self._live.get(message.clip), self._clips.available(message.clip)
        frames = live.wanted(message.frames) if live is not None else ()
        if live is not None and not frames:
            clip = live = None
        slot, shape = (
            self._fresh_slot(message.question, message.client) if clip is None else self._borrowed_slot(clip, message)
        )
        room = self._runner.capacity - shape.length
        session = Session(
            open=message,
            prompt_length=shape.length,
            max_tokens=min(message.max_tokens, self.limits.max_answer_tokens, room),
            max_draft=self.limits.max_draft,
            vocab_size=self._runner.vocab_size,
            eos_token_ids=self._runner.eos_token_ids,
            opened_at=now,
            slot=slot,
            available=shape.video_start if shape.video_length else shape.length,
            least_chunk=self.limits.budget.least_chunk,
            frames=frames,
        )
        self._sessions[message.session_id] = session
        session.begin_credit(self._credits.of(session.client))
        self._shapes[message.session_id] = shape
        self.stats.opened += 1
        self.stats.replayed += bool(message.committed)
        if live is not None:
            self._live.arrange(live, frames, now) if clip is live else self._live.copy(live, session, shape)
        if clip is not None:
            self._lend(message.clip, clip, session)
        opened = self._opened(session, video_needed=clip is None and live is None)
        return [opened, *([session.finished()] if session.reason else [])]

    def _opened(self, session: Session, *, video_needed: bool) -> Opened:
        return Opened(
            session.open.session_id,
            session.max_tokens,
            session.max_draft,
            len(session.committed),
            video_needed=video_needed,
            adapter=self._runner.adapter_fingerprint,
            lease_ms=round(self.limits.resume_ttl_s * 1e3),
            frames=session.frames if session.available >= session.prompt_length else (),
            draft_limit=session.draft_limit,
        )

    @property
    def _credits(self) -> Credits:
        """What each drafting session may have under way now."""
        clients = (session.client for session in self._sessions.values() if session.drafts)
        return share_out(clients, self.limits.drafts_per_pass, 4 * self.limits.max_draft)

    def _fresh_slot(self, question: str, client: str) -> tuple[int, PromptShape]:
        """A slot of one's own, with a prompt. An idle clip makes room if need be."""
        self._check_share(client)
        if not self._free and (idle := self._clips.idle()) is not None:
            self._drop_clip(idle)
        if not self._free:
            raise CapacityError(f"all {self._runner.slots} sessions are taken; try again later", _FULL_MS)
        slot = self._free[0]
        shape = self._runner.open(slot, question)
        try:
            self._check_prompt(shape)
        except PromptError:
            self._runner.close(slot)
            raise
        self._free.remove(slot)
        return slot, shape

    def _check_share(self, client: str) -> None:
        """Raise CapacityError if a client holds its share of the slots already."""
        own = sum(session.client == client for session in self._sessions.values())
        free = len(self._free) + (self._clips.idle() is not None)
        if not may_hold(own, free, self.limits.sessions_per_client, named=client.startswith("=")):
            raise CapacityError(f"{own} sessions are this client's share for now; try again later", _FULL_MS)

    # ------------------------------------------------------------------------------------------------ clips

    def _open_clip(self, clip_id: str, message: OpenClip, now: float) -> list[CloudMessage]:
        """Hold a video that comes before its question."""
        if clip_id in self._clips or clip_id in self._sessions or (message.again and not self._free):
            return []
        self._expire(now)
        if message.live is not None:
            self._live.check_room(message.live)
        slot, shape = self._fresh_slot(_NO_QUESTION, message.client)
        video_end = shape.video_start + shape.video_length
        session = Session(
            open=Open(clip_id, "", client=message.client),
            prompt_length=video_end + 1,  # a question is missing: the prompt is never whole
            max_tokens=1,
            max_draft=0,
            vocab_size=self._runner.vocab_size,
            eos_token_ids=self._runner.eos_token_ids,
            opened_at=now,
            slot=slot,
            available=shape.video_start,
            least_chunk=self.limits.budget.least_chunk,
            background=message.live is not None,
        )
        self._sessions[clip_id], self._shapes[clip_id] = session, shape
        clip = Clip(session, shape, now) if message.live is None else self._live.make(session, shape, now, message.live)
        self._clips.add(clip_id, clip)
        self.stats.clips += 1
        return []

    def _borrowed_slot(self, clip: Clip, message: Open) -> tuple[int, PromptShape]:
        shape = self._runner.ask(clip.session.slot, message.question)
        self._check_prompt(shape)
        return clip.session.slot, shape

    def _lend(self, clip_id: str, clip: Clip, session: Session) -> None:
        """Give the clip's slot, and whatever is still to come of its video, to a question."""
        clip.lent_to = session.open.session_id
        session.kv_length = clip.session.kv_length
        session.available = self._shapes[clip.lent_to].length if clip.complete else clip.session.available
        session.available_since = clip.session.available_since
        session.frames = session.frames or clip.session.frames
        del self._sessions[clip_id], self._shapes[clip_id]
        self._rename_frames(clip_id, clip.lent_to)

    def _take_back(self, clip: Clip, session: Session) -> None:
        clip_id = session.open.clip
        clip.take_back(session)
        if isinstance(clip, LiveClip):
            self._live.refresh(clip, session.waiting_since)
        self._sessions[clip_id], self._shapes[clip_id] = clip.session, clip.shape
        self._rename_frames(session.open.session_id, clip_id)

    def _rename_frames(self, old: str, new: str) -> None:
        self._frames = deque((new if name == old else name, frames) for name, frames in self._frames)

    def _release_video(self, session_id: str) -> None:
        """A session, or a clip, whose video can't be used: no later question may meet it."""
        clip_id = self._sessions[session_id].open.clip or session_id
        self._release(session_id)
        if clip_id in self._clips:
            self._drop_clip(clip_id)

    def _drop_clip(self, clip_id: str) -> None:
        self._clips.remove(clip_id)
        self._release(clip_id)

    # -------------------------------------------------------------------------------------- loss and resume

    def _resume(self, session: Session, message: Open, now: float) -> list[CloudMessage]:
        shape = self._shapes[message.session_id]
        commit = session.resume(message, now)
        session.begin_credit(self._credits.of(session.client))
        self.stats.resumed += 1
        opened = self._opened(session, video_needed=session.available < shape.length)
        replies: list[CloudMessage] = [opened]
        if commit is not None:
            replies.append(commit)
        if session.reason is not None:
            replies.append(session.finished())
        return replies

    def _check_open(self, message: Open) -> None:
        if message.wire_version != WIRE_VERSION:
            raise MismatchError(
                f"the edge speaks wire version {message.wire_version}, this cloud {WIRE_VERSION}: update the older"
            )
        told = message.drafter.name or message.drafter.tokenizer_hash  # who doesn't draft has to read the answer, too
        if told and message.drafter.tokenizer_hash != self._runner.tokenizer_hash:
            raise MismatchError(
                "drafter and target have different tokenizers: start the edge with --target-tokenizer and this "
                "target's tokenizer.json, or with a drafter of its vocabulary"
            )
        if message.max_tokens < 1:
            raise PromptError("max_tokens must be at least 1")
        if not 0 <= message.patience_ms <= self.limits.max_patience_ms:
            raise PromptError(f"patience must be at most {self.limits.max_patience_ms} ms")
        if len(message.committed) > self.limits.max_answer_tokens:
            raise PromptError("the resumed answer is longer than the longest answer allowed")
        if message.committed and max(message.committed) >= self._runner.vocab_size:
            raise PromptError("the resumed answer has ids outside the target's vocabulary")

    def _check_prompt(self, shape: PromptShape) -> None:
        if shape.text_length > self.limits.max_prompt_tokens:
            raise PromptError(
                f"the prompt has {shape.text_length} tokens, at most {self.limits.max_prompt_tokens} are allowed: "
                "ask a shorter question"
            )
        if shape.length >= self._runner.capacity:
            raise PromptError(f"prompt and video don't fit into a session of {self._runner.capacity} tokens")

    def _take_frames(self, session_id: str, frames: Frames) -> None:
        shape = self._shapes[session_id]
        waiting = sum(len(f.pixels) for name, f in self._frames if name == session_id)
        have = self._features(session_id) // self._runner.tokens_per_frame + waiting
        if not frames.encoded and frames.pixels.shape[1:] != self._runner.pixels_shape:
            raise PromptError(f"frames must be {self._runner.pixels_shape}, not {frames.pixels.shape[1:]}")
        skip = have - frames.first  # a video that is sent again after a loss brings frames that are here already
        room = shape.video_length // self._runner.tokens_per_frame - have
        fresh = frames.pixels[skip : skip + room] if 0 <= skip < len(frames.pixels) else frames.pixels[:0]
        if len(fresh):
            self._frames.append((session_id, Frames(fresh, have, frames.decode_us, encoded=frames.encoded)))
            self._sessions[session_id].frames += frames.names[skip : skip + room]

    def _features(self, session_id: str) -> int:
        shape, session = self._shapes[session_id], self._sessions[session_id]
        if session.available >= shape.length:
            return shape.video_length
        return max(0, session.available - shape.video_start)

    # --------------------------------------------------------------------------------------------- stepping

    def next_due(self) -> float | None:
        """When `step` next has work: a time that may lie in the past, or None while everything waits for peers."""
        if self._frames or self._live.waiting:
            return -np.inf
        return next_due(self._sessions.values())

    def step(self, now: float) -> list[Output]:
        """Run what is due. An error of the runner fails the sessions in that step and no other."""
        progress, encode_us = self._encode_one(now)
        shared = self._credits
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
        session_id, frames = self._next_frames()
        session = self._sessions[session_id]
        chunk, rest = frames.pixels[: self.limits.vision_chunk], frames.pixels[self.limits.vision_chunk :]
        if len(rest):
            self._frames.appendleft((session_id, Frames(rest, frames.first + len(chunk), encoded=frames.encoded)))
        self.at_work((session_id,))
        try:
            take = self._runner.place if frames.encoded else self._runner.encode
            took_us = take(session.slot, chunk)
        except Exception as error:
            self._release_video(session_id)
            failure = Failure(FailureCode.ENGINE, f"encoding the video failed: {error}")
            return [Output(session_id, failure)], 0
        self.stats.vision_us += took_us
        self._shares.charge(session.client, len(chunk) * self._runner.tokens_per_frame)
        shape = self._shapes[session_id]
        session.available += len(chunk) * self._runner.tokens_per_frame
        session.available_since = now + took_us / 1e6
        now_us = session.age_us(now)
        if frames.decode_us:
            session.span(Stage.VIDEO_DECODE, now_us - frames.decode_us, now_us)
        if not frames.encoded:
            session.span(Stage.VISION_ENCODE, now_us, now_us + took_us)
        if session.available < shape.video_start + shape.video_length or session_id in self._clips:
            return [], took_us
        session.available = shape.length
        done = () if frames.encoded else (Stage.VIDEO_DECODE, Stage.VISION_ENCODE)
        return [Output(session_id, session.progress(stage)) for stage in done], took_us

    def _encode_live(self, now: float) -> int:
        """Encode one chunk of a live stream's frames; how long it took in microseconds."""
        clip_id = self._live.next_waiting()
        if clip_id is None:
            return 0
        try:
            took_us = self._live.encode(clip_id, self.limits.vision_chunk, now)
        except Exception:  # the runner's: this stream's features can't be relied on
            self._drop_clip(clip_id)
            return 0
        self.stats.vision_us += took_us
        return took_us

    def _next_frames(self) -> tuple[str, Frames]:
        """Frames of the client that has had least, taken out of what waits."""
        first = self._shares.first(self._sessions[name] for name, _ in self._frames)
        place = next(i for i, (name, _) in enumerate(self._frames) if self._sessions[name] is first)
        found = self._frames[place]
        del self._frames[place]
        return found

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
            self._release(session_id, poisoned=True)
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
            self._release(session_id, poisoned=True)
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
        parked = sum(s.parked_since is not None for s in self._sessions.values())
        return Held(len(self._sessions), parked, sum(name in self._clips for name in self._sessions))

    def gauge(self, now: float) -> None:
        """Write into `stats` what is so at the moment."""
        due = (session.due_at() for session in self._sessions.values())
        self.stats.sessions_waiting = sum(at is not None and at <= now for at in due)
        self.stats.frames_waiting = sum(len(frames.pixels) for _, frames in self._frames)
        self.stats.kv_tokens = sum(session.kv_length for session in self._sessions.values())
        self.stats.draft_credit = self._credits.least

    def expire(self, now: float) -> list[Output]:
        """Free parked sessions whose lease is over, and those of a silent edge, which is told."""
        self._expire(now)
        silent = [name for name, session in self._sessions.items() if self._silent(name, session, now)]
        for name in silent:
            self._release(name)
        message = f"nothing came for {self._lease_s:.0f} s: the session's lease is over; resume to go on"
        return [Output(name, Failure(FailureCode.UNAVAILABLE, message, retryable=True)) for name in silent]

    @property
    def _lease_s(self) -> float:
        return max(self.limits.resume_ttl_s, _SHORTEST_LEASE_S)

    def _silent(self, name: str, session: Session, now: float) -> bool:
        if name in self._clips or session.parked_since is not None:
            return False
        if any(owner == name for owner, _ in self._frames):
            return False  # there is work: the cloud is what is late
        due = session.due_at()
        last = max(session.heard_at, session.waiting_since, session.available_since)
        return (due is None or due > now) and now - last >= self._lease_s

    def _expire(self, now: float) -> None:
        for session_id, session in list(self._sessions.items()):
            parked = session.parked_since
            if parked is not None and now - parked >= self.limits.resume_ttl_s:
                self._release(session_id)
        for clip_id in self._clips.unused_since(now - self.limits.clip_ttl_s):
            self._drop_clip(clip_id)

    def _release(self, session_id: str, poisoned: bool = False) -> None:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        self._shapes.pop(session_id)
        self.stats.stale_drafts += session.stale_drafts
        self.stats.over_credit += session.over_credit
        clip = self._clips.lent_to(session)
        if clip is not None and not poisoned:
            self._take_back(clip, session)
            return
        self._clips.remove(session_id if clip is None else session.open.clip)
        self._frames = deque((name, f) for name, f in self._frames if name != session_id)
        self._runner.close(session.slot, poisoned)
        self._free.append(session.slot)
        self._free.sort()

    def check_integrity(self) -> None:
        """Raise EngineError if slots, lengths and sessions don't add up."""
        used = sorted(s.slot for s in self._sessions.values())
        if sorted([*used, *self._free]) != list(range(self._runner.slots)):
            raise EngineError(f"KV slots leaked: {used} in use, {self._free} free of {self._runner.slots}")
        if self._sessions.keys() != self._shapes.keys():
            odd = self._sessions.keys() ^ self._shapes.keys()
            raise EngineError(f"prompts without sessions, or the other way round: {odd}")
        for name, session in self._sessions.items():
            check_books(name, session, self._runner.capacity)
        strangers = {name for name, _ in self._frames} - self._sessions.keys()
        if strangers:
            raise EngineError(f"frames wait for sessions that are gone: {strangers}")

    def heal(self) -> list[int]:
        """Free slots that nobody holds; returns them. What else `check_integrity` finds can't be mended."""
        held = {s.slot for s in self._sessions.values()} | set(self._free)
        lost = [slot for slot in range(self._runner.slots) if slot not in held]
        for slot in lost:
            with suppress(KeyError):  # it may hold nothing
                self._runner.close(slot, poisoned=True)
        self._free = sorted([*self._free, *lost])
        return lost


def check_books(name: str, session: Session, capacity: int) -> None:
    """Raise EngineError if a session's lengths make no sense together."""
    known, stored = session.known_length, session.kv_length
    fine = (
        0 <= stored <= min(known, capacity)
        and len(session.committed) <= session.max_tokens
        and session.available <= session.prompt_length
        and (session.prefilled or stored <= max(session.available, 0) or session.available >= session.prompt_length)
        and not (session.pending and (session.reason is not None or session.parked_since is not None))
    )
    if not fine:
        raise EngineError(
            f"session {name}: {stored} stored of {known} known ({session.available} of {session.prompt_length} prompt "
            f"available, {len(session.committed)} committed, {len(session.pending)} pending)"
        )


def _urgency(output: Output) -> int:
    """Commits are what everyone waits for, stages can be told after them; an end comes last."""
    return {Commit: 0, Finished: 2}.get(type(output.message), 1)
