"""What the engine does with live streams: keeps their windows encoded, and the newest one prefilled. No I/O, no clock.

A live stream's clip holds a slot like any clip, and the features of its window besides. Whenever a frame has been
encoded, the slot's prompt is arranged anew: what of it begins as before keeps its keys and values, the rest is
prefilled in steps that nobody else needs (`Session.background`). While a question has the slot its prompt stays as it
is, frames that come are encoded and kept, and the prompt is brought up to date when the slot comes back.
"""

from __future__ import annotations

from cloud.clips import ClipTable
from cloud.live import LiveClip
from cloud.messages import LiveFrames
from cloud.runner import PromptShape, Runner
from cloud.session import Session
from common.errors import CapacityError, PromptError
from common.live import LiveWindow
from common.types import FrameName


class LiveStreams:
    """The live ones among an engine's clips; their features take at most `max_bytes` together."""

    def __init__(self, runner: Runner, clips: ClipTable, max_bytes: int) -> None:
        self._runner = runner
        self._clips = clips
        self._max_bytes = max_bytes

    def get(self, clip_id: str) -> LiveClip | None:
        """The live stream of that id, lent or not."""
        clip = self._clips.get(clip_id)
        return clip if isinstance(clip, LiveClip) else None

    def check_room(self, window: LiveWindow) -> None:
        """Raise CapacityError if there is no memory for another window."""
        cells = window.cells + sum(c.window.cells for c in self._clips.all().values() if isinstance(c, LiveClip))
        if cells * self._runner.frame_bytes > self._max_bytes:
            raise CapacityError(
                f"live windows of {cells} pictures together take more than {self._max_bytes:,} bytes of features: "
                "watch with a shorter window, or raise --max-window-bytes"
            )

    def make(self, session: Session, shape: PromptShape, now: float, window: LiveWindow) -> LiveClip:
        """A live stream that has just begun."""
        count = shape.video_length // self._runner.tokens_per_frame
        return LiveClip(session, shape, now, window=window, count=count)

    def take(self, clip_id: str, frames: LiveFrames, now: float) -> None:
        """Frames that came; those of a stream that had to go are dropped.

        Raises:
            PromptError: they aren't of the target's size, or not one a name.
        """
        clip = self.get(clip_id)
        if clip is None:
            return
        if frames.pixels.shape != (len(frames.names), *self._runner.pixels_shape):
            raise PromptError(f"frames must be {self._runner.pixels_shape}, not {frames.pixels.shape[1:]}")
        clip.used_at = now
        clip.take(frames)

    @property
    def waiting(self) -> bool:
        """True if frames are to be encoded."""
        return self.next_waiting() is not None

    def next_waiting(self) -> str | None:
        """The stream with the most frames that wait; None if there is none."""
        waiting = {i: len(c.waiting) for i, c in self._clips.all().items() if isinstance(c, LiveClip) and c.waiting}
        return max(waiting, key=waiting.__getitem__, default=None)

    def encode(self, clip_id: str, most: int, now: float) -> int:
        """Encode at most so many frames of a stream, and bring its prompt up to date; returns microseconds."""
        clip = self.get(clip_id)
        chunk = clip.next_chunk(most) if clip is not None else None
        if clip is None or chunk is None:
            return 0
        slot = clip.session.slot
        took_us = self._runner.keep(slot, [name.number for name in chunk.names], chunk.pixels)
        gone = clip.encoded(chunk.names)
        self._runner.forget(slot, [name.number for name in gone])
        if not clip.lent_to:
            self.refresh(clip, now + took_us / 1e6)
        return took_us

    def refresh(self, clip: LiveClip, now: float) -> None:
        """The newest window becomes the prompt's video."""
        wanted = clip.looked_at()
        if wanted:
            self.arrange(clip, wanted, now)

    def arrange(self, clip: LiveClip, wanted: tuple[FrameName, ...], now: float) -> None:
        """These frames become the prompt's video; keys and values of what stays in front stay."""
        same = clip.rearrange(wanted)
        if same is None:
            return
        session, slot = clip.session, clip.session.slot
        self._runner.arrange(slot, [name.number for name in wanted], source=slot)
        kept = clip.shape.video_start + same * self._runner.tokens_per_frame
        session.kv_length = min(session.kv_length, kept)
        session.available, session.available_since = clip.video_end, now

    def copy(self, clip: LiveClip, session: Session, shape: PromptShape) -> None:
        """A question about a stream whose slot is taken: the features are copied, the prefill is its own."""
        self._runner.arrange(session.slot, [name.number for name in session.frames], source=clip.session.slot)
        session.available = shape.length
