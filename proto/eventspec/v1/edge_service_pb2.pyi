from eventspec.v1 import speculation_pb2 as _speculation_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_STREAM_TO_CLOUD: _ClassVar[Mode]
    MODE_CLOUD_ONLY: _ClassVar[Mode]
    MODE_EDGE_ONLY: _ClassVar[Mode]
    MODE_EDGE_VISION: _ClassVar[Mode]
MODE_UNSPECIFIED: Mode
MODE_STREAM_TO_CLOUD: Mode
MODE_CLOUD_ONLY: Mode
MODE_EDGE_ONLY: Mode
MODE_EDGE_VISION: Mode

class AskRequest(_message.Message):
    __slots__ = ("question", "events_path", "video_path", "mode", "sampling", "max_tokens", "pace", "patience_ms", "draft_length", "window_start_us", "watch", "video_codec", "branches", "answer_id", "checksum")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_PATH_FIELD_NUMBER: _ClassVar[int]
    VIDEO_PATH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_MS_FIELD_NUMBER: _ClassVar[int]
    DRAFT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_US_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    VIDEO_CODEC_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    question: str
    events_path: str
    video_path: str
    mode: Mode
    sampling: _speculation_pb2.SamplingParams
    max_tokens: int
    pace: _speculation_pb2.Pace
    patience_ms: int
    draft_length: int
    window_start_us: int
    watch: str
    video_codec: str
    branches: int
    answer_id: str
    checksum: int
    def __init__(self, question: _Optional[str] = ..., events_path: _Optional[str] = ..., video_path: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., sampling: _Optional[_Union[_speculation_pb2.SamplingParams, _Mapping]] = ..., max_tokens: _Optional[int] = ..., pace: _Optional[_Union[_speculation_pb2.Pace, str]] = ..., patience_ms: _Optional[int] = ..., draft_length: _Optional[int] = ..., window_start_us: _Optional[int] = ..., watch: _Optional[str] = ..., video_codec: _Optional[str] = ..., branches: _Optional[int] = ..., answer_id: _Optional[str] = ..., checksum: _Optional[int] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("events_path", "video_path", "realtime", "window_start_us", "live", "window_us", "stride_us", "loop", "video_codec", "checksum")
    EVENTS_PATH_FIELD_NUMBER: _ClassVar[int]
    VIDEO_PATH_FIELD_NUMBER: _ClassVar[int]
    REALTIME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_US_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_US_FIELD_NUMBER: _ClassVar[int]
    STRIDE_US_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    VIDEO_CODEC_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    events_path: str
    video_path: str
    realtime: bool
    window_start_us: int
    live: bool
    window_us: int
    stride_us: int
    loop: bool
    video_codec: str
    checksum: int
    def __init__(self, events_path: _Optional[str] = ..., video_path: _Optional[str] = ..., realtime: bool = ..., window_start_us: _Optional[int] = ..., live: bool = ..., window_us: _Optional[int] = ..., stride_us: _Optional[int] = ..., loop: bool = ..., video_codec: _Optional[str] = ..., checksum: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("watch", "frames_sent", "frames", "bytes_sent", "complete", "drafter_ready", "at_ms", "checksum")
    WATCH_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SENT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    DRAFTER_READY_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    watch: str
    frames_sent: int
    frames: int
    bytes_sent: int
    complete: bool
    drafter_ready: bool
    at_ms: float
    checksum: int
    def __init__(self, watch: _Optional[str] = ..., frames_sent: _Optional[int] = ..., frames: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., complete: bool = ..., drafter_ready: bool = ..., at_ms: _Optional[float] = ..., checksum: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("committed_text", "provisional_text", "at_ms")
    COMMITTED_TEXT_FIELD_NUMBER: _ClassVar[int]
    PROVISIONAL_TEXT_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    committed_text: str
    provisional_text: str
    at_ms: float
    def __init__(self, committed_text: _Optional[str] = ..., provisional_text: _Optional[str] = ..., at_ms: _Optional[float] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("answer", "report", "notice", "checksum")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    report: Report
    notice: str
    checksum: int
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., notice: _Optional[str] = ..., checksum: _Optional[int] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("checksum",)
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    checksum: int
    def __init__(self, checksum: _Optional[int] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("drafter", "cloud", "cloud_reachable", "sessions", "checksum")
    DRAFTER_FIELD_NUMBER: _ClassVar[int]
    CLOUD_FIELD_NUMBER: _ClassVar[int]
    CLOUD_REACHABLE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    drafter: str
    cloud: str
    cloud_reachable: bool
    sessions: int
    checksum: int
    def __init__(self, drafter: _Optional[str] = ..., cloud: _Optional[str] = ..., cloud_reachable: bool = ..., sessions: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...
