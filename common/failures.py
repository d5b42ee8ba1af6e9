"""The border: errors become `Failure` messages here and nowhere else, and back again at the edge."""

from __future__ import annotations

from common.errors import (
    AuthenticationError,
    AuthorizationError,
    CapacityError,
    EngineDeadError,
    EngineError,
    EventSpecError,
    InputError,
    LinkError,
    MismatchError,
    ModelError,
    SessionError,
    VideoFormatError,
)
from common.types import Failure, FailureCode

LONGEST_MESSAGE = 2_000  # characters: nobody reads more, and metadata have a limit

# most specific first
_CODES: tuple[tuple[type[EventSpecError], FailureCode], ...] = (
    (VideoFormatError, FailureCode.VIDEO),
    (InputError, FailureCode.INVALID),
    (ModelError, FailureCode.MISMATCH),
    (CapacityError, FailureCode.CAPACITY),
    (AuthenticationError, FailureCode.UNAUTHENTICATED),
    (AuthorizationError, FailureCode.PERMISSION),
    (SessionError, FailureCode.UNKNOWN_SESSION),
    (EngineDeadError, FailureCode.UNAVAILABLE),
    (EngineError, FailureCode.ENGINE),
    (LinkError, FailureCode.UNAVAILABLE),
)
ERRORS: dict[FailureCode, type[EventSpecError]] = {
    FailureCode.INVALID: InputError,
    FailureCode.MISMATCH: MismatchError,
    FailureCode.CAPACITY: CapacityError,
    FailureCode.UNKNOWN_SESSION: SessionError,
    FailureCode.VIDEO: VideoFormatError,
    FailureCode.ENGINE: EngineError,
    FailureCode.UNAVAILABLE: LinkError,
    FailureCode.UNAUTHENTICATED: AuthenticationError,
    FailureCode.PERMISSION: AuthorizationError,
}


def failure_of(error: EventSpecError) -> Failure:
    """The message that tells a peer about an error."""
    code = next((c for kind, c in _CODES if isinstance(error, kind)), FailureCode.ENGINE)
    return Failure(code, str(error)[:LONGEST_MESSAGE], error.retryable, error.retry_after_ms)


def error_of(failure: Failure) -> EventSpecError:
    """The error that a peer's failure stands for."""
    error = ERRORS[failure.code](failure.message)
    error.retry_after_ms = failure.retry_after_ms
    return error
