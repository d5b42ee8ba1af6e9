from eventspec.v1 import speculation_pb2 as _speculation_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DrainRequest(_message.Message):
    __slots__ = ("undo", "grace_ms", "checksum")
    UNDO_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    undo: bool
    grace_ms: int
    checksum: int
    def __init__(self, undo: bool = ..., grace_ms: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("draining", "running", "handed_over", "checksum")
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    HANDED_OVER_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    draining: bool
    running: int
    handed_over: int
    checksum: int
    def __init__(self, draining: bool = ..., running: _Optional[int] = ..., handed_over: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...
