"""Clips: videos that came before their question. Pure book-keeping; the engine encodes and prefills them.

A clip holds a slot whose keys and values end where the question would begin. A question about it takes the slot over
(it is *lent*), and gives it back with the answer rolled off: the next question begins at the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud.runner import PromptShape
from cloud.session import Session


@dataclass
class Clip:
    """One clip. `session` schedules its prefill while nobody asks; it never has a question, so it never chooses."""

    session: Session
    shape: PromptShape
    used_at: float
    lent_to: str = ""

    @property
    def video_end(self) -> int:
        """Position at which a question begins."""
        return self.shape.video_start + self.shape.video_length

    @property
    def complete(self) -> bool:
        """True once every frame is encoded."""
        return self.session.available >= self.video_end

    def take_back(self, session: Session) -> None:
        """The session that had the slot is over: keep the video's part of what it stored."""
        self.lent_to = ""
        self.used_at = session.waiting_since
        self.session.available = min(session.available, self.video_end)
        self.session.available_since = session.available_since
        self.session.frames = session.frames
        self.session.kv_length = min(session.kv_length, self.session.available)


class ClipTable:
    """All clips by id."""

    def __init__(self) -> None:
        self._clips: dict[str, Clip] = {}

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._clips

    def add(self, clip_id: str, clip: Clip) -> None:
        """Keep a new clip."""
        self._clips[clip_id] = clip

    def remove(self, clip_id: str) -> None:
        """Forget a clip."""
        self._clips.pop(clip_id, None)

    def get(self, clip_id: str) -> Clip | None:
        """The clip of that id, lent or not."""
        return self._clips.get(clip_id)

    def all(self) -> dict[str, Clip]:
        """All clips by id."""
        return dict(self._clips)

    def owner(self, name: str) -> str:
        """Who works on what is sent for `name`: the session that a clip is lent to, or `name` itself."""
        clip = self._clips.get(name)
        return clip.lent_to or name if clip is not None else name

    def available(self, clip_id: str) -> Clip | None:
        """The clip, if a question may take it."""
        clip = self._clips.get(clip_id)
        return clip if clip is not None and not clip.lent_to else None

    def lent_to(self, session: Session) -> Clip | None:
        """The clip that a session holds, if it holds one."""
        clip = self._clips.get(session.open.clip)
        return clip if clip is not None and clip.lent_to == session.open.session_id else None

    def idle(self) -> str | None:
        """The clip that nobody has asked about for longest; None if all are lent."""
        idle = {name: clip.used_at for name, clip in self._clips.items() if not clip.lent_to}
        return min(idle, key=idle.__getitem__, default=None)

    def unused_since(self, then: float) -> list[str]:
        """Clips that nobody has used since `then`."""
        return [name for name, clip in self._clips.items() if not clip.lent_to and clip.used_at <= then]
