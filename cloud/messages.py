"""What goes into the engine besides the edge's own messages, and what comes out: plain values.

Between the front process and the engine process every message is two ZeroMQ frames: a msgpack head and raw bytes. The
bytes are the contract's own (`common/codec.py`) wherever the message is the edge's or for the edge, so that the front
passes them on untouched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.types import CloudMessage, EdgeMessage


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Preprocessed frames of the session's video: `pixels` float32 [n, 3, size, size].

    `first` is the place of the first among those that the target looks at, `decode_us` what decoding and
    preprocessing took.
    """

    pixels: NDArray[np.float32]
    first: int = 0
    decode_us: int = 0


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """The video of a session can't be used: the session fails with this message."""

    message: str


@dataclass(frozen=True, slots=True)
class Park:
    """The session's stream was lost."""


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """How frames must be preprocessed for the target (side in pixels), and how many of a video it looks at."""

    size: int
    count: int


EngineMessage = EdgeMessage | Frames | VideoFailed | Park


@dataclass(frozen=True, slots=True)
class Output:
    """Something for the edge of one session."""

    session_id: str
    message: CloudMessage
