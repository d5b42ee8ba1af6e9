"""The vocabulary of the protocol as plain values. Knows nothing about protobuf, torch, clocks or sockets.

Words (the field's own): the *target* is the verifier's model, the *drafter* the edge's. *Committed* tokens are the
answer so far and belong to the cloud. A *position* is an index in the answer, from 0. A draft token is *accepted* iff
it equals the target's choice at its position; the *correction* is the target's choice at the first mismatch, the
*bonus* its choice after a fully accepted draft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

WIRE_VERSION = 1
LARGEST = 2**53  # that any number, or time in microseconds (285 years), may be, but a seed: what a double holds exactly


class Pace(Enum):
    """What the cloud does with a session that has no draft at hand."""

    EAGER = "eager"  # decode one token itself: never slower than cloud-only
    PATIENT = "patient"  # wait for the next draft, up to a deadline: fewer target passes a token


class StateEncoding(Enum):
    """What the rows of a hidden-state draft are."""

    TARGET = "target"  # states of the target's own space: its head takes them as they are
    STATES = "states"  # the drafter's states: the adapter takes them
    INT8 = "int8"  # the same as bytes, with one scale a row
    CODES = "codes"  # the waist of a split adapter as bytes, with one scale a row: the cloud does the rest


class FinishReason(Enum):
    """Why an answer ended."""

    STOP = "stop"  # the target chose an end-of-sequence token
    LENGTH = "length"  # the answer reached its length limit
    CANCELLED = "cancelled"  # the asker went away or cancelled


class FailureCode(Enum):
    """Machine-readable reasons for a session's failure; each maps to one error class (`common/errors.py`)."""

    INVALID = "invalid"
    MISMATCH = "mismatch"
    CAPACITY = "capacity"
    UNKNOWN_SESSION = "unknown_session"
    VIDEO = "video"
    ENGINE = "engine"
    UNAVAILABLE = "unavailable"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION = "permission"


class Stage(Enum):
    """Stages of the cloud's work on a session before its first token."""

    VIDEO_DECODE = "video_decode"
    VISION_ENCODE = "vision_encode"
    PREFILL = "prefill"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the target chooses. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch the filters off."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 100.0:  # also refuses NaN
            raise ValueError(f"temperature must be between 0 and 100, not {self.temperature}")
        if not 0 <= self.top_k < 2**31:
            raise ValueError(f"top_k must be 0 (off) or positive, not {self.top_k}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be a 64-bit unsigned integer, not {self.seed}")

    @property
    def greedy(self) -> bool:
        """True if the choice is the plain argmax of the logits."""
        return self.temperature == 0.0


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor on the wire: dtype name, shape, little-endian C-order bytes. Size is checked before a byte is used."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class FrameName:
    """A frame that an answer was computed on: its number in its video or live stream, from 0, and when it is shown.

    `time_us` is on the video's own clock, in microseconds.
    """

    number: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Draft:
    """Draft tokens for answer positions `base_position ...`, drafted on a prefix whose hash is `prefix_hash`.

    Exactly one of `token_ids` and `hidden_states` (shape [n, width]) carries the draft. `epoch` counts the session's
    connections: a draft of an earlier one is stale. `draft_id` grows by one with every draft of a session.

    Of hidden states `encoding` says what they are, `scales` [n] are the scales of rows of bytes. The first `context`
    rows belong to positions before `base_position`: a causal adapter in the cloud wants all, and gets those that it
    hasn't seen. `follows` names the draft whose end is this one's beginning: which ids that one became, only the cloud
    knows, so no hash can (0: the prefix is committed).
    """

    draft_id: int
    epoch: int
    base_position: int
    prefix_hash: int
    token_ids: tuple[int, ...] = ()
    hidden_states: Tensor | None = None
    encoding: StateEncoding = StateEncoding.TARGET
    scales: Tensor | None = None
    context: int = 0
    follows: int = 0

    @property
    def count(self) -> int:
        """Number of drafted positions."""
        return len(self.token_ids) if self.hidden_states is None else self.hidden_states.shape[0] - self.context


@dataclass(frozen=True, slots=True)
class DrafterInfo:
    """Who drafts (empty name: nobody); decides whether draft ids can be taken as they are."""

    name: str = ""
    tokenizer_hash: str = ""
    vocab_size: int = 0
    hidden_size: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """First message of every stream. A resume names its epoch (> 0) and the committed tokens that the edge holds.

    `clip` names the clip that the question is about, if its video was streamed ahead. `frames` are the numbers of the
    frames that the answer is about, where that was told before. `client` doesn't travel: it is whose share the session
    takes, as the cloud's front has found out.
    """

    session_id: str
    question: str
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int = 128
    pace: Pace = Pace.EAGER
    patience_ms: int = 200
    drafter: DrafterInfo = field(default_factory=DrafterInfo)
    epoch: int = 0
    committed: tuple[int, ...] = ()
    wire_version: int = WIRE_VERSION
    clip: str = ""
    frames: tuple[int, ...] = ()
    client: str = ""

    @property
    def resume(self) -> bool:
        """True if this continues a session whose earlier stream was lost."""
        return self.epoch > 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """The asker no longer wants the answer; the cloud replies with `Finished(CANCELLED)`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Goodbye: the session may be freed. A stream that ends without it is a lost peer, and its session is parked."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The cloud's accepted limits. `video_needed` is False where a resumed session still holds its video.

    `replay` names the stage-time profile (`common/replay.py`) that the cloud's stages are padded to, if any; `adapter`
    is the fingerprint of the cloud's adapter for hidden-state drafts, empty if it has none. `frames` are those that the
    answer is computed on, if they are known already. `lease_ms`: how long the session is kept without a word of its
    edge. `draft_limit` is the edge's credit: the position up to which drafts may reach (0: not told).
    """

    session_id: str
    max_tokens: int
    max_draft: int
    committed_length: int = 0
    video_needed: bool = True
    replay: str = ""
    adapter: str = ""
    frames: tuple[FrameName, ...] = ()
    lease_ms: int = 0
    draft_limit: int = 0


@dataclass(frozen=True, slots=True)
class StepTimings:
    """The cloud's own share of a step, in microseconds; clocks of two machines are never compared."""

    queue_us: int = 0
    forward_us: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Answer tokens that will never change, from `start_position` on.

    `drafted` draft tokens were checked by this pass and the first `accepted` of `token_ids` were among them.
    `draft_id` is the newest draft that the cloud has seen (0: none), `waiting` the number of sessions that had work
    in this step. `draft_limit` is the credit from now on (0: as before); within a stream it never moves back.
    """

    start_position: int
    token_ids: tuple[int, ...]
    drafted: int = 0
    accepted: int = 0
    draft_id: int = 0
    waiting: int = 0
    timings: StepTimings = field(default_factory=StepTimings)
    draft_limit: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A stage of the cloud's work is done. Times in microseconds since the cloud took the session in."""

    stage: Stage
    start_us: int
    duration_us: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. `target_passes` counts the forward passes that chose at least one of its tokens.

    `replay_overruns` counts the engine's padded stages, meanwhile, that took longer than their profile by themselves.
    `frames` are those that the answer was computed on; none if the cloud was sent features in place of a video.
    `over_credit` draft tokens lay beyond the limit of their time, and were dropped.
    """

    reason: FinishReason
    length: int
    target_passes: int = 0
    stale_drafts: int = 0
    replay_overruns: int = 0
    frames: tuple[FrameName, ...] = ()
    over_credit: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """The session failed; `retryable` says whether opening it again (as a resume) may help.

    `retry_after_ms` says after which time; 0: no hint.
    """

    code: FailureCode
    message: str
    retryable: bool = False
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What `GetInfo` tells: whether two sides fit, and the limits at the door.

    `vision_fingerprint` tells whether an edge's features are this target's; `replay` and `adapter` are as in `Opened`,
    `adapter_level` and `adapter_hidden` (the width of the drafter's states) describe the adapter.
    """

    wire_version: int
    model_name: str
    model_fingerprint: str
    tokenizer_hash: str
    vocab_size: int
    hidden_size: int
    video_frames: int
    eos_token_ids: tuple[int, ...]
    max_sessions: int
    max_prompt_tokens: int
    max_answer_tokens: int
    max_draft: int
    max_message_bytes: int
    max_video_bytes: int
    replay: str = ""
    vision_fingerprint: str = ""
    adapter: str = ""
    adapter_level: str = ""
    adapter_hidden: int = 0
    sessions_held: int = 0
    sessions_parked: int = 0


@dataclass(frozen=True, slots=True)
class DrainState:
    """How a cloud's draining stands: sessions that still run, and those sent elsewhere."""

    draining: bool
    running: int = 0
    handed_over: int = 0


EdgeMessage = Open | Draft | Cancel | Close
CloudMessage = Opened | Commit | Progress | Finished | Failure
