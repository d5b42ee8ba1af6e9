from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_FLOAT16: _ClassVar[DataType]
    DATA_TYPE_BFLOAT16: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_INT8: _ClassVar[DataType]
    DATA_TYPE_UINT8: _ClassVar[DataType]

class Pace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACE_UNSPECIFIED: _ClassVar[Pace]
    PACE_EAGER: _ClassVar[Pace]
    PACE_PATIENT: _ClassVar[Pace]

class StateEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_ENCODING_UNSPECIFIED: _ClassVar[StateEncoding]
    STATE_ENCODING_STATES: _ClassVar[StateEncoding]
    STATE_ENCODING_INT8: _ClassVar[StateEncoding]
    STATE_ENCODING_CODES: _ClassVar[StateEncoding]

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_VIDEO_DECODE: _ClassVar[Stage]
    STAGE_VISION_ENCODE: _ClassVar[Stage]
    STAGE_PREFILL: _ClassVar[Stage]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_CANCELLED: _ClassVar[FinishReason]

class FailureCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_CODE_UNSPECIFIED: _ClassVar[FailureCode]
    FAILURE_CODE_INVALID: _ClassVar[FailureCode]
    FAILURE_CODE_MISMATCH: _ClassVar[FailureCode]
    FAILURE_CODE_CAPACITY: _ClassVar[FailureCode]
    FAILURE_CODE_UNKNOWN_SESSION: _ClassVar[FailureCode]
    FAILURE_CODE_VIDEO: _ClassVar[FailureCode]
    FAILURE_CODE_ENGINE: _ClassVar[FailureCode]
    FAILURE_CODE_UNAVAILABLE: _ClassVar[FailureCode]
    FAILURE_CODE_UNAUTHENTICATED: _ClassVar[FailureCode]
    FAILURE_CODE_PERMISSION: _ClassVar[FailureCode]
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_FLOAT16: DataType
DATA_TYPE_BFLOAT16: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_INT8: DataType
DATA_TYPE_UINT8: DataType
PACE_UNSPECIFIED: Pace
PACE_EAGER: Pace
PACE_PATIENT: Pace
STATE_ENCODING_UNSPECIFIED: StateEncoding
STATE_ENCODING_STATES: StateEncoding
STATE_ENCODING_INT8: StateEncoding
STATE_ENCODING_CODES: StateEncoding
STAGE_UNSPECIFIED: Stage
STAGE_VIDEO_DECODE: Stage
STAGE_VISION_ENCODE: Stage
STAGE_PREFILL: Stage
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_CANCELLED: FinishReason
FAILURE_CODE_UNSPECIFIED: FailureCode
FAILURE_CODE_INVALID: FailureCode
FAILURE_CODE_MISMATCH: FailureCode
FAILURE_CODE_CAPACITY: FailureCode
FAILURE_CODE_UNKNOWN_SESSION: FailureCode
FAILURE_CODE_VIDEO: FailureCode
FAILURE_CODE_ENGINE: FailureCode
FAILURE_CODE_UNAVAILABLE: FailureCode
FAILURE_CODE_UNAUTHENTICATED: FailureCode
FAILURE_CODE_PERMISSION: FailureCode

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class SamplingParams(_message.Message):
    __slots__ = ("temperature", "top_k", "top_p", "seed")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_k: int
    top_p: float
    seed: int
    def __init__(self, temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class DrafterInfo(_message.Message):
    __slots__ = ("name", "tokenizer_hash", "vocab_size", "hidden_size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_HASH_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    tokenizer_hash: str
    vocab_size: int
    hidden_size: int
    def __init__(self, name: _Optional[str] = ..., tokenizer_hash: _Optional[str] = ..., vocab_size: _Optional[int] = ..., hidden_size: _Optional[int] = ...) -> None: ...

class FreshStart(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resume(_message.Message):
    __slots__ = ("epoch", "committed")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    committed: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, epoch: _Optional[int] = ..., committed: _Optional[_Iterable[int]] = ...) -> None: ...

class FrameName(_message.Message):
    __slots__ = ("number", "time_us")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    number: int
    time_us: int
    def __init__(self, number: _Optional[int] = ..., time_us: _Optional[int] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("session_id", "wire_version", "question", "sampling", "max_tokens", "pace", "patience_ms", "drafter", "fresh", "resume", "clip", "frames")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    WIRE_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_MS_FIELD_NUMBER: _ClassVar[int]
    DRAFTER_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    wire_version: int
    question: str
    sampling: SamplingParams
    max_tokens: int
    pace: Pace
    patience_ms: int
    drafter: DrafterInfo
    fresh: FreshStart
    resume: Resume
    clip: str
    frames: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, session_id: _Optional[str] = ..., wire_version: _Optional[int] = ..., question: _Optional[str] = ..., sampling: _Optional[_Union[SamplingParams, _Mapping]] = ..., max_tokens: _Optional[int] = ..., pace: _Optional[_Union[Pace, str]] = ..., patience_ms: _Optional[int] = ..., drafter: _Optional[_Union[DrafterInfo, _Mapping]] = ..., fresh: _Optional[_Union[FreshStart, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., clip: _Optional[str] = ..., frames: _Optional[_Iterable[int]] = ...) -> None: ...

class TokenIds(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Draft(_message.Message):
    __slots__ = ("draft_id", "epoch", "base_position", "prefix_hash", "tokens", "hidden_states", "encoding", "scales", "context", "follows")
    DRAFT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BASE_POSITION_FIELD_NUMBER: _ClassVar[int]
    PREFIX_HASH_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_STATES_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_FIELD_NUMBER: _ClassVar[int]
    draft_id: int
    epoch: int
    base_position: int
    prefix_hash: int
    tokens: TokenIds
    hidden_states: Tensor
    encoding: StateEncoding
    scales: Tensor
    context: int
    follows: int
    def __init__(self, draft_id: _Optional[int] = ..., epoch: _Optional[int] = ..., base_position: _Optional[int] = ..., prefix_hash: _Optional[int] = ..., tokens: _Optional[_Union[TokenIds, _Mapping]] = ..., hidden_states: _Optional[_Union[Tensor, _Mapping]] = ..., encoding: _Optional[_Union[StateEncoding, str]] = ..., scales: _Optional[_Union[Tensor, _Mapping]] = ..., context: _Optional[int] = ..., follows: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Close(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SpeculateRequest(_message.Message):
    __slots__ = ("open", "draft", "cancel", "close", "checksum")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    open: Open
    draft: Draft
    cancel: Cancel
    close: Close
    checksum: int
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., draft: _Optional[_Union[Draft, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., close: _Optional[_Union[Close, _Mapping]] = ..., checksum: _Optional[int] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("session_id", "max_tokens", "max_draft", "committed_length", "video_needed", "replay", "adapter", "frames", "lease_ms", "draft_limit")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_DRAFT_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_LENGTH_FIELD_NUMBER: _ClassVar[int]
    VIDEO_NEEDED_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    DRAFT_LIMIT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    max_tokens: int
    max_draft: int
    committed_length: int
    video_needed: bool
    replay: str
    adapter: str
    frames: _containers.RepeatedCompositeFieldContainer[FrameName]
    lease_ms: int
    draft_limit: int
    def __init__(self, session_id: _Optional[str] = ..., max_tokens: _Optional[int] = ..., max_draft: _Optional[int] = ..., committed_length: _Optional[int] = ..., video_needed: bool = ..., replay: _Optional[str] = ..., adapter: _Optional[str] = ..., frames: _Optional[_Iterable[_Union[FrameName, _Mapping]]] = ..., lease_ms: _Optional[int] = ..., draft_limit: _Optional[int] = ...) -> None: ...

class StepTimings(_message.Message):
    __slots__ = ("queue_us", "forward_us")
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    FORWARD_US_FIELD_NUMBER: _ClassVar[int]
    queue_us: int
    forward_us: int
    def __init__(self, queue_us: _Optional[int] = ..., forward_us: _Optional[int] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("start_position", "token_ids", "drafted", "accepted", "draft_id", "waiting", "timings", "draft_limit")
    START_POSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    DRAFTED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DRAFT_ID_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    DRAFT_LIMIT_FIELD_NUMBER: _ClassVar[int]
    start_position: int
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    drafted: int
    accepted: int
    draft_id: int
    waiting: int
    timings: StepTimings
    draft_limit: int
    def __init__(self, start_position: _Optional[int] = ..., token_ids: _Optional[_Iterable[int]] = ..., drafted: _Optional[int] = ..., accepted: _Optional[int] = ..., draft_id: _Optional[int] = ..., waiting: _Optional[int] = ..., timings: _Optional[_Union[StepTimings, _Mapping]] = ..., draft_limit: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "start_us", "duration_us")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    start_us: int
    duration_us: int
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., start_us: _Optional[int] = ..., duration_us: _Optional[int] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("reason", "length", "target_passes", "stale_drafts", "replay_overruns", "frames", "over_credit")
    REASON_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    TARGET_PASSES_FIELD_NUMBER: _ClassVar[int]
    STALE_DRAFTS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_OVERRUNS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    OVER_CREDIT_FIELD_NUMBER: _ClassVar[int]
    reason: FinishReason
    length: int
    target_passes: int
    stale_drafts: int
    replay_overruns: int
    frames: _containers.RepeatedCompositeFieldContainer[FrameName]
    over_credit: int
    def __init__(self, reason: _Optional[_Union[FinishReason, str]] = ..., length: _Optional[int] = ..., target_passes: _Optional[int] = ..., stale_drafts: _Optional[int] = ..., replay_overruns: _Optional[int] = ..., frames: _Optional[_Iterable[_Union[FrameName, _Mapping]]] = ..., over_credit: _Optional[int] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "retryable", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: FailureCode
    message: str
    retryable: bool
    retry_after_ms: int
    def __init__(self, code: _Optional[_Union[FailureCode, str]] = ..., message: _Optional[str] = ..., retryable: bool = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class SpeculateResponse(_message.Message):
    __slots__ = ("opened", "commit", "progress", "finished", "failure", "checksum")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    opened: Opened
    commit: Commit
    progress: Progress
    finished: Finished
    failure: Failure
    checksum: int
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., commit: _Optional[_Union[Commit, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., checksum: _Optional[int] = ...) -> None: ...

class LiveWindow(_message.Message):
    __slots__ = ("stride_us", "cells")
    STRIDE_US_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    stride_us: int
    cells: int
    def __init__(self, stride_us: _Optional[int] = ..., cells: _Optional[int] = ...) -> None: ...

class VideoHeader(_message.Message):
    __slots__ = ("codec", "extradata", "width", "height", "frames", "time_base_num", "time_base_den", "ahead", "acknowledge", "live", "named")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    EXTRADATA_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    TIME_BASE_NUM_FIELD_NUMBER: _ClassVar[int]
    TIME_BASE_DEN_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    codec: str
    extradata: bytes
    width: int
    height: int
    frames: int
    time_base_num: int
    time_base_den: int
    ahead: bool
    acknowledge: bool
    live: LiveWindow
    named: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, codec: _Optional[str] = ..., extradata: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frames: _Optional[int] = ..., time_base_num: _Optional[int] = ..., time_base_den: _Optional[int] = ..., ahead: bool = ..., acknowledge: bool = ..., live: _Optional[_Union[LiveWindow, _Mapping]] = ..., named: _Optional[_Iterable[int]] = ...) -> None: ...

class VideoPacket(_message.Message):
    __slots__ = ("index", "pts", "dts", "keyframe", "data", "continued")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PTS_FIELD_NUMBER: _ClassVar[int]
    DTS_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    index: int
    pts: int
    dts: int
    keyframe: bool
    data: bytes
    continued: bool
    def __init__(self, index: _Optional[int] = ..., pts: _Optional[int] = ..., dts: _Optional[int] = ..., keyframe: bool = ..., data: _Optional[bytes] = ..., continued: bool = ...) -> None: ...

class FeaturesHeader(_message.Message):
    __slots__ = ("vision_fingerprint", "frames", "acknowledge")
    VISION_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    vision_fingerprint: str
    frames: int
    acknowledge: bool
    def __init__(self, vision_fingerprint: _Optional[str] = ..., frames: _Optional[int] = ..., acknowledge: bool = ...) -> None: ...

class FrameFeatures(_message.Message):
    __slots__ = ("index", "features", "size")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    index: int
    features: Tensor
    size: int
    def __init__(self, index: _Optional[int] = ..., features: _Optional[_Union[Tensor, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class StreamVideoRequest(_message.Message):
    __slots__ = ("session_id", "header", "packets", "features_header", "features", "checksum")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_HEADER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    header: VideoHeader
    packets: _containers.RepeatedCompositeFieldContainer[VideoPacket]
    features_header: FeaturesHeader
    features: _containers.RepeatedCompositeFieldContainer[FrameFeatures]
    checksum: int
    def __init__(self, session_id: _Optional[str] = ..., header: _Optional[_Union[VideoHeader, _Mapping]] = ..., packets: _Optional[_Iterable[_Union[VideoPacket, _Mapping]]] = ..., features_header: _Optional[_Union[FeaturesHeader, _Mapping]] = ..., features: _Optional[_Iterable[_Union[FrameFeatures, _Mapping]]] = ..., checksum: _Optional[int] = ...) -> None: ...

class StreamVideoResponse(_message.Message):
    __slots__ = ("frames", "bytes", "received", "checksum")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    frames: int
    bytes: int
    received: int
    checksum: int
    def __init__(self, frames: _Optional[int] = ..., bytes: _Optional[int] = ..., received: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ("checksum",)
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    checksum: int
    def __init__(self, checksum: _Optional[int] = ...) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("wire_version", "model_name", "model_fingerprint", "tokenizer_hash", "vocab_size", "hidden_size", "video_frames", "eos_token_ids", "max_sessions", "max_prompt_tokens", "max_answer_tokens", "max_draft", "max_message_bytes", "max_video_bytes", "replay", "vision_fingerprint", "adapter", "adapter_level", "adapter_hidden", "sessions_held", "sessions_parked")
    WIRE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_HASH_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FRAMES_FIELD_NUMBER: _ClassVar[int]
    EOS_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_DRAFT_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_VIDEO_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    VISION_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_LEVEL_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_HIDDEN_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_HELD_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_PARKED_FIELD_NUMBER: _ClassVar[int]
    wire_version: int
    model_name: str
    model_fingerprint: str
    tokenizer_hash: str
    vocab_size: int
    hidden_size: int
    video_frames: int
    eos_token_ids: _containers.RepeatedScalarFieldContainer[int]
    max_sessions: int
    max_prompt_tokens: int
    max_answer_tokens: int
    max_draft: int
    max_message_bytes: int
    max_video_bytes: int
    replay: str
    vision_fingerprint: str
    adapter: str
    adapter_level: str
    adapter_hidden: int
    sessions_held: int
    sessions_parked: int
    def __init__(self, wire_version: _Optional[int] = ..., model_name: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., tokenizer_hash: _Optional[str] = ..., vocab_size: _Optional[int] = ..., hidden_size: _Optional[int] = ..., video_frames: _Optional[int] = ..., eos_token_ids: _Optional[_Iterable[int]] = ..., max_sessions: _Optional[int] = ..., max_prompt_tokens: _Optional[int] = ..., max_answer_tokens: _Optional[int] = ..., max_draft: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_video_bytes: _Optional[int] = ..., replay: _Optional[str] = ..., vision_fingerprint: _Optional[str] = ..., adapter: _Optional[str] = ..., adapter_level: _Optional[str] = ..., adapter_hidden: _Optional[int] = ..., sessions_held: _Optional[int] = ..., sessions_parked: _Optional[int] = ...) -> None: ...
