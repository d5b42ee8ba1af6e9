"""The target's KV slots, and who holds them: sessions, and clips that nobody asks about. No I/O, no clock.

A slot is taken when a session or clip is entered, lent by a clip to a question about it, and free again when its holder
is released: at its end, at a failure, or when its lease is over. Whatever else is kept of a holder, its prompt, its
frames that wait, goes the same way.
"""

from __future__ import annotations

from contextlib import suppress

from cloud.clips import Clip, ClipTable
from cloud.credits import Credits, share_out
from cloud.engine_limits import EngineLimits
from cloud.engine_stats import EngineStats
from cloud.live import LiveClip
from cloud.live_streams import LiveStreams
from cloud.runner import PromptShape, Runner
from cloud.session import Session
from cloud.shares import may_hold
from cloud.state_page import Held
from cloud.vision_queue import VisionQueue
from common.errors import CapacityError, PromptError

_SHORTEST_LEASE_S = 10.0
_FULL_MS = 500  # after which a place may be free


class Slots:
    """Everybody who holds a slot, by id.

    Attributes:
        sessions: holders; of a clip, the session that schedules its prefill.
        shapes: their prompts.
        free: slots without a holder, in order.
        clips: all clips, those that are lent included.
        live: those of them without an end.
        frames: what waits to be encoded for a holder.
    """

    def __init__(self, runner: Runner, limits: EngineLimits, stats: EngineStats, frames: VisionQueue) -> None:
        self._runner = runner
        self._limits = limits
        self._stats = stats
        self.sessions: dict[str, Session] = {}
        self.shapes: dict[str, PromptShape] = {}
        self.free = list(range(runner.slots))
        self.clips = ClipTable()
        self.live = LiveStreams(runner, self.clips, limits.max_window_bytes)
        self.frames = frames

    @property
    def held(self) -> Held:
        """What is held."""
        parked = sum(s.parked_since is not None for s in self.sessions.values())
        return Held(len(self.sessions), parked, sum(name in self.clips for name in self.sessions))

    @property
    def draft_credits(self) -> Credits:
        """What each drafting session may have under way now."""
        clients = (session.client for session in self.sessions.values() if session.drafts)
        return share_out(clients, self._limits.drafts_per_pass, 4 * self._limits.max_draft)

    # ------------------------------------------------------------------------------------------ who comes

    def fresh(self, question: str, client: str) -> tuple[int, PromptShape]:
        """A slot of one's own, with a prompt. An idle clip makes room if need be.

        Raises:
            CapacityError: all are taken, or this client has its share.
            PromptError: the prompt is too long.
        """
        self._check_share(client)
        if not self.free and (idle := self.clips.idle()) is not None:
            self.drop_clip(idle)
        if not self.free:
            raise CapacityError(f"all {self._runner.slots} sessions are taken; try again later", _FULL_MS)
        slot = self.free[0]
        shape = self._runner.open(slot, question)
        try:
            self._check_prompt(shape)
        except PromptError:
            self._runner.close(slot)
            raise
        self.free.remove(slot)
        return slot, shape

    def borrowed(self, clip: Clip, question: str) -> tuple[int, PromptShape]:
        """A clip's slot, with a question behind its video. Raises PromptError: it is too long."""
        shape = self._runner.ask(clip.session.slot, question)
        self._check_prompt(shape)
        return clip.session.slot, shape

    def _check_share(self, client: str) -> None:
        own = sum(session.client == client for session in self.sessions.values())
        free = len(self.free) + (self.clips.idle() is not None)
        if not may_hold(own, free, self._limits.sessions_per_client, named=client.startswith("=")):
            raise CapacityError(f"{own} sessions are this client's share for now; try again later", _FULL_MS)

    def _check_prompt(self, shape: PromptShape) -> None:
        if shape.text_length > self._limits.max_prompt_tokens:
            raise PromptError(
                f"the prompt has {shape.text_length} tokens, at most {self._limits.max_prompt_tokens} are allowed: "
                "ask a shorter question"
            )
        if shape.length >= self._runner.capacity:
            raise PromptError(f"prompt and video don't fit into a session of {self._runner.capacity} tokens")

    def enter(self, session: Session, shape: PromptShape) -> None:
        """A session, or a clip's, holds its slot from now on."""
        session_id = session.open.session_id
        self.sessions[session_id], self.shapes[session_id] = session, shape

    def lend(self, clip: Clip, session: Session) -> None:
        """Give the clip's slot, and whatever is still to come of its video, to a question, which has been entered."""
        clip_id, clip.lent_to = session.open.clip, session.open.session_id
        session.kv_length = clip.session.kv_length
        session.available = self.shapes[clip.lent_to].length if clip.complete else clip.session.available
        session.available_since = clip.session.available_since
        session.frames = session.frames or clip.session.frames
        del self.sessions[clip_id], self.shapes[clip_id]
        self.frames.rename(clip_id, clip.lent_to)

    # ------------------------------------------------------------------------------------------- who goes

    def release(self, session_id: str, poisoned: bool = False) -> None:
        """A session or clip is over; a clip's slot goes back to it. `poisoned`: the slot's values are of no use."""
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        self.shapes.pop(session_id)
        self._stats.stale_drafts += session.stale_drafts
        self._stats.over_credit += session.over_credit
        clip = self.clips.lent_to(session)
        if clip is not None and not poisoned:
            self._take_back(clip, session)
            return
        self.clips.remove(session_id if clip is None else session.open.clip)
        self.frames.drop(session_id)
        self._runner.close(session.slot, poisoned)
        self.free.append(session.slot)
        self.free.sort()

    def _take_back(self, clip: Clip, session: Session) -> None:
        clip.take_back(session)
        if isinstance(clip, LiveClip):
            self.live.refresh(clip, session.waiting_since)
        self.enter(clip.session, clip.shape)
        self.frames.rename(session.open.session_id, session.open.clip)

    def release_video(self, session_id: str) -> None:
        """A session, or a clip, whose video can't be used: no later question may meet it."""
        clip_id = self.sessions[session_id].open.clip or session_id
        self.release(session_id)
        if clip_id in self.clips:
            self.drop_clip(clip_id)

    def drop_clip(self, clip_id: str) -> None:
        """A clip is over. A question that has its slot goes on, and closes it."""
        self.clips.remove(clip_id)
        self.release(clip_id)

    def expire(self, now: float) -> None:
        """Free parked sessions whose lease is over, and clips that nobody has used for long."""
        for session_id, session in list(self.sessions.items()):
            parked = session.parked_since
            if parked is not None and now - parked >= self._limits.resume_ttl_s:
                self.release(session_id)
        for clip_id in self.clips.unused_since(now - self._limits.clip_ttl_s):
            self.drop_clip(clip_id)

    @property
    def lease_s(self) -> float:
        """How long an edge may be silent."""
        return max(self._limits.resume_ttl_s, _SHORTEST_LEASE_S)

    def silent(self, now: float) -> list[str]:
        """Sessions whose edges have been silent for longer than their lease, and are what everybody waits for."""
        return [name for name, session in self.sessions.items() if self._silent(name, session, now)]

    def _silent(self, name: str, session: Session, now: float) -> bool:
        if name in self.clips or session.parked_since is not None:
            return False
        if name in self.frames:
            return False  # there is work: the cloud is what is late
        due = session.due_at()
        last = max(session.heard_at, session.waiting_since, session.available_since)
        return (due is None or due > now) and now - last >= self.lease_s

    def heal(self) -> list[int]:
        """Free slots that nobody holds; returns them."""
        held = {s.slot for s in self.sessions.values()} | set(self.free)
        lost = [slot for slot in range(self._runner.slots) if slot not in held]
        for slot in lost:
            with suppress(KeyError):  # it may hold nothing
                self._runner.close(slot, poisoned=True)
        self.free = sorted([*self.free, *lost])
        return lost
