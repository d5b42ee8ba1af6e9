"""What goes into the engine besides the edge's own messages, and what comes out: plain values.

Between the front process and the engine process every message is two ZeroMQ frames: a msgpack head and raw bytes. The
bytes are the contract's own (`common/codec/`) wherever the message is the edge's or for the edge, so that the front
passes them on untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from common.live import LiveWindow
from common.types import CloudMessage, EdgeMessage, FrameName


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Preprocessed frames of the session's video: `pixels` float32 [n, 3, size, size].

    If `encoded`, an edge has encoded them: `pixels` uint8 [n, bytes] are their features, [tokens, hidden] each in the
    target's own element type.

    `first` is the place of the first among those that the target looks at, `decode_us` what decoding and
    preprocessing took, `overruns` how often that was longer than a replayed profile says. `names`: what is known of
    which frames they are.
    """

    pixels: NDArray[Any]
    first: int = 0
    decode_us: int = 0
    overruns: int = 0
    encoded: bool = False
    names: tuple[FrameName, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrames:
    """Preprocessed frames of a live stream, float32 [n, 3, size, size]: one a name, in order."""

    pixels: NDArray[Any]
    names: tuple[FrameName, ...]


@dataclass(frozen=True, slots=True)
class OpenClip:
    """A video comes before its question: hold its frames, and prefill them, under this id.

    `live`: it is a live stream. `again`: it was announced before; if it had to go since, then only where there is room.
    `client` is whose share its place takes.
    """

    live: LiveWindow | None = None
    again: bool = False
    client: str = ""


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """The video of a session can't be used: the session fails with this message."""

    message: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The session's edge is heard of, though what it sends isn't ready for the engine yet: its lease is renewed."""


@dataclass(frozen=True, slots=True)
class Park:
    """The session's stream was lost."""


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """How frames must be preprocessed for the target, and what their features are where an edge encodes them.

    Attributes:
        size: side of a preprocessed frame, in pixels.
        count: frames of a video that the target looks at.
        tokens: features of a frame.
        hidden: width of a feature.
        dtype: element type of features.
        vision_fingerprint: hash of the vision side that must have made them; empty: features aren't taken.
    """

    size: int
    count: int
    tokens: int = 0
    hidden: int = 0
    dtype: str = ""
    vision_fingerprint: str = ""


EngineMessage = EdgeMessage | OpenClip | Frames | LiveFrames | VideoFailed | Park | Alive


@dataclass(frozen=True, slots=True)
class Output:
    """Something for the edge of one session."""

    session_id: str
    message: CloudMessage
