"""One question to the edge daemon, as values: what `eventspec-edge ask` sends and what streams back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from common.types import Pace, SamplingParams


class Mode(Enum):
    """How a question is answered; the paradigm's name in reports."""

    STREAM_TO_CLOUD = "stream_to_cloud"
    CLOUD_ONLY = "cloud_only"
    EDGE_ONLY = "edge_only"
    EDGE_VISION = "edge_vision"


@dataclass(frozen=True, slots=True)
class AskRequest:
    """A question about a recording and its video: files that the daemon can read, or a clip that it watches.

    `draft_length` 0 is adaptive; `watch` names the clip, in place of the two paths. `video_codec` says how the video
    goes up: as it is (empty or `copy`), or its sampled frames as `h264` or `jpeg`. `branches` None is the daemon's own
    setting.
    """

    question: str
    events_path: str = ""
    video_path: str = ""
    mode: Mode = Mode.STREAM_TO_CLOUD
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int = 64
    pace: Pace | None = None
    patience_ms: int = 200
    draft_length: int = 0
    window_start_us: int = 0
    watch: str = ""
    answer_id: str = ""
    video_codec: str = ""
    branches: int | None = None


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """A clip to be streamed ahead of its questions. `realtime`: at the recording's own pace, as a camera would.

    `live`: it has no end that is known, and questions are about its last `window_us` microseconds, of which a picture
    each `stride_us` may be looked at (0: defaults); `loop` plays a file again and again. `video_codec` as in
    `AskRequest`.
    """

    video_path: str
    events_path: str = ""
    realtime: bool = False
    window_start_us: int = 0
    live: bool = False
    window_us: int = 0
    stride_us: int = 0
    loop: bool = False
    video_codec: str = ""


@dataclass(frozen=True, slots=True)
class WatchState:
    """How far a watch has come; `at_ms` since it began."""

    watch: str
    frames_sent: int
    frames: int
    bytes_sent: int
    complete: bool
    drafter_ready: bool
    at_ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer as it stands: text that will never change, and the drafter's continuation, which may be replaced."""

    committed_text: str
    provisional_text: str
    at_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """The end: the finished answer with all its figures (`docs/report.md` names them)."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the user: link lost, resumed, gone alone."""

    text: str


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """How the daemon is."""

    drafter: str
    cloud: str
    cloud_reachable: bool
    sessions: int


AskEvent = Answer | Report | Notice
