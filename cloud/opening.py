"""How sessions and clips begin, or go on after a loss: what an `Open` may ask for, and what it finds here already.

No I/O, no clock.
"""

from __future__ import annotations

from cloud.clips import Clip
from cloud.engine_limits import EngineLimits
from cloud.engine_stats import EngineStats
from cloud.messages import OpenClip
from cloud.runner import Runner
from cloud.session import Session
from cloud.slots import Slots
from common.errors import CapacityError, MismatchError, PromptError
from common.types import WIRE_VERSION, CloudMessage, Open, Opened

_NO_QUESTION = "?"  # stands in a clip's prompt until somebody asks


class Opening:
    """Opens sessions and clips in an engine's slots."""

    def __init__(self, runner: Runner, limits: EngineLimits, slots: Slots, stats: EngineStats) -> None:
        self._runner = runner
        self._limits = limits
        self._slots = slots
        self._stats = stats

    def open(self, message: Open, now: float) -> list[CloudMessage]:
        """A session begins, in a slot of its own or a clip's, or takes up what it has here; what its edge must hear.

        Raises:
            CapacityError: there is no room, or the id is taken.
            MismatchError: edge and cloud don't fit together.
            PromptError: it asks for what no session may have.
        """
        if message.session_id in self._slots.clips:
            raise CapacityError("this id is a clip's; choose another for the session")
        known = self._slots.sessions.get(message.session_id)
        if known is not None:
            if not message.resume:
                raise CapacityError("this session id is in use; choose another, or resume with a later epoch")
            if known.can_resume(message):
                return self._resume(known, message, now)
            self._slots.release(message.session_id)
        self._check_open(message)
        self._slots.expire(now)
        return self._begin(message, now)

    def _begin(self, message: Open, now: float) -> list[CloudMessage]:
        slots = self._slots
        live, clip = slots.live.get(message.clip), slots.clips.available(message.clip)
        frames = live.wanted(message.frames) if live is not None else ()
        if live is not None and not frames:
            clip = live = None
        slot, shape = (
            slots.fresh(message.question, message.client) if clip is None else slots.borrowed(clip, message.question)
        )
        room = self._runner.capacity - shape.length
        session = Session(
            open=message,
            prompt_length=shape.length,
            max_tokens=min(message.max_tokens, self._limits.max_answer_tokens, room),
            max_draft=self._limits.max_draft,
            vocab_size=self._runner.vocab_size,
            eos_token_ids=self._runner.eos_token_ids,
            opened_at=now,
            slot=slot,
            available=shape.video_start if shape.video_length else shape.length,
            least_chunk=self._limits.budget.least_chunk,
            frames=frames,
        )
        slots.enter(session, shape)
        session.begin_credit(slots.draft_credits.of(session.client))
        self._stats.opened += 1
        self._stats.replayed += bool(message.committed)
        if live is not None:
            slots.live.arrange(live, frames, now) if clip is live else slots.live.copy(live, session, shape)
        if clip is not None:
            slots.lend(clip, session)
        opened = self._opened(session, video_needed=clip is None and live is None)
        return [opened, *([session.finished()] if session.reason else [])]

    def _resume(self, session: Session, message: Open, now: float) -> list[CloudMessage]:
        shape = self._slots.shapes[message.session_id]
        commit = session.resume(message, now)
        session.begin_credit(self._slots.draft_credits.of(session.client))
        self._stats.resumed += 1
        opened = self._opened(session, video_needed=session.available < shape.length)
        replies: list[CloudMessage] = [opened]
        if commit is not None:
            replies.append(commit)
        if session.reason is not None:
            replies.append(session.finished())
        return replies

    def _opened(self, session: Session, *, video_needed: bool) -> Opened:
        return Opened(
            session.open.session_id,
            session.max_tokens,
            session.max_draft,
            len(session.committed),
            video_needed=video_needed,
            adapter=self._runner.adapter_fingerprint,
            lease_ms=round(self._limits.resume_ttl_s * 1e3),
            frames=session.frames if session.available >= session.prompt_length else (),
            draft_limit=session.draft_limit,
        )

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
        if not 0 <= message.patience_ms <= self._limits.max_patience_ms:
            raise PromptError(f"patience must be at most {self._limits.max_patience_ms} ms")
        if len(message.committed) > self._limits.max_answer_tokens:
            raise PromptError("the resumed answer is longer than the longest answer allowed")
        if message.committed and max(message.committed) >= self._runner.vocab_size:
            raise PromptError("the resumed answer has ids outside the target's vocabulary")

    def open_clip(self, clip_id: str, message: OpenClip, now: float) -> None:
        """Hold a video that comes before its question.

        Raises:
            CapacityError: there is no room for it.
        """
        slots = self._slots
        if clip_id in slots.clips or clip_id in slots.sessions or (message.again and not slots.free):
            return
        slots.expire(now)
        if message.live is not None:
            slots.live.check_room(message.live)
        slot, shape = slots.fresh(_NO_QUESTION, message.client)
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
            least_chunk=self._limits.budget.least_chunk,
            background=message.live is not None,
        )
        slots.enter(session, shape)
        clip = Clip(session, shape, now) if message.live is None else slots.live.make(session, shape, now, message.live)
        slots.clips.add(clip_id, clip)
        self._stats.clips += 1
