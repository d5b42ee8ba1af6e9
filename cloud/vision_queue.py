"""Frames of videos that wait to be encoded, a chunk at a time, and whose turn it is. No I/O, no clock.

What is encoded can be prefilled, so a chunk's end moves the session's `available` on. Live streams have windows of
their own (`cloud/live_streams.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from cloud.messages import Frames
from cloud.runner import PromptShape, Runner
from cloud.session import Session
from cloud.shares import Shares
from common.errors import PromptError
from common.types import Stage


class VisionQueue:
    """Frames by the name of the session or clip whose video they are."""

    def __init__(self, runner: Runner, shares: Shares, chunk: int) -> None:
        """At most `chunk` frames are encoded at once; `shares` says whose, and is charged."""
        self._runner = runner
        self._shares = shares
        self._chunk = chunk
        self._waiting: deque[tuple[str, Frames]] = deque()

    def __bool__(self) -> bool:
        """True if frames wait."""
        return bool(self._waiting)

    def __contains__(self, name: str) -> bool:
        """True if frames of that name wait."""
        return any(owner == name for owner, _ in self._waiting)

    @property
    def names(self) -> set[str]:
        """Whose frames wait."""
        return {name for name, _ in self._waiting}

    @property
    def count(self) -> int:
        """Frames that wait."""
        return sum(len(frames.pixels) for _, frames in self._waiting)

    def add(self, name: str, frames: Frames) -> None:
        """These wait behind all others."""
        self._waiting.append((name, frames))

    def take(self, name: str, session: Session, shape: PromptShape, frames: Frames) -> None:
        """Frames that came; those that are here already (a video that is sent again repeats some) are left out.

        Raises:
            PromptError: they aren't of the target's size.
        """
        waiting = sum(len(f.pixels) for owner, f in self._waiting if owner == name)
        have = _features(session, shape) // self._runner.tokens_per_frame + waiting
        if not frames.encoded and frames.pixels.shape[1:] != self._runner.pixels_shape:
            raise PromptError(f"frames must be {self._runner.pixels_shape}, not {frames.pixels.shape[1:]}")
        skip = have - frames.first
        room = shape.video_length // self._runner.tokens_per_frame - have
        fresh = frames.pixels[skip : skip + room] if 0 <= skip < len(frames.pixels) else frames.pixels[:0]
        if len(fresh):
            self.add(name, Frames(fresh, have, frames.decode_us, encoded=frames.encoded))
            session.frames += frames.names[skip : skip + room]

    def next_chunk(self, sessions: Mapping[str, Session]) -> tuple[str, Frames]:
        """Frames to be encoded now, of the client that has had least; something must wait."""
        first = self._shares.first(sessions[name] for name, _ in self._waiting)
        place = next(i for i, (name, _) in enumerate(self._waiting) if sessions[name] is first)
        name, frames = self._waiting[place]
        del self._waiting[place]
        rest = frames.pixels[self._chunk :]
        if len(rest):
            self._waiting.appendleft((name, Frames(rest, frames.first + self._chunk, encoded=frames.encoded)))
        return name, replace(frames, pixels=frames.pixels[: self._chunk])

    def encode(self, session: Session, chunk: Frames, now: float) -> int:
        """Encode a chunk into a session's slot, or place it there if an edge has encoded it; returns microseconds."""
        took_us = (self._runner.place if chunk.encoded else self._runner.encode)(session.slot, chunk.pixels)
        tokens = len(chunk.pixels) * self._runner.tokens_per_frame
        self._shares.charge(session.client, tokens)
        session.available += tokens
        session.available_since = now + took_us / 1e6
        now_us = session.age_us(now)
        if chunk.decode_us:
            session.span(Stage.VIDEO_DECODE, now_us - chunk.decode_us, now_us)
        if not chunk.encoded:
            session.span(Stage.VISION_ENCODE, now_us, now_us + took_us)
        return took_us

    def rename(self, old: str, new: str) -> None:
        """What came for one name is another's."""
        self._waiting = deque((new if name == old else name, frames) for name, frames in self._waiting)

    def drop(self, name: str) -> None:
        """Nobody wants these any more."""
        self._waiting = deque((owner, frames) for owner, frames in self._waiting if owner != name)


def _features(session: Session, shape: PromptShape) -> int:
    """Of the video, the tokens that can be prefilled."""
    if session.available >= shape.length:
        return shape.video_length
    return max(0, session.available - shape.video_start)
