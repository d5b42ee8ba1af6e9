"""gRPC as this project uses it: channel and server options, and errors as statuses (translated only here)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, cast

import grpc
import grpc.aio

from common.errors import EventSpecError, LinkError, NotReadyError
from common.failures import ERRORS, failure_of
from common.types import FailureCode

_STATUSES = {
    FailureCode.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    FailureCode.VIDEO: grpc.StatusCode.INVALID_ARGUMENT,
    FailureCode.MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    FailureCode.CAPACITY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FailureCode.UNKNOWN_SESSION: grpc.StatusCode.NOT_FOUND,
    FailureCode.ENGINE: grpc.StatusCode.INTERNAL,
    FailureCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    FailureCode.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    FailureCode.PERMISSION: grpc.StatusCode.PERMISSION_DENIED,
}

_MARK = "eventspec-failure"
_NOT_READY = "not_ready"  # in place of a failure's code; a peer that doesn't know it takes it for a lost link
_RETRY_AFTER = "eventspec-retry-after-ms"
_LONGEST_HINT_MS = 600_000
_KNOWN = frozenset(code.value for code in FailureCode)


def channel_options(max_message_bytes: int = 8 << 20) -> list[tuple[str, Any]]:
    """Options for channels and servers: message limits, and keepalive that finds a dead peer within seconds."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # pings during a long silent prefill must not earn a GOAWAY "too_many_pings"
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # a second daemon on the same port must fail, not share it
        ("grpc.so_reuseport", 0),
        # reconnecting is the session's business, with its own backoff
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 250),
        # ... and this is the time that connecting may take: two round trips of the slowest link
        ("grpc.min_reconnect_backoff_ms", 3_000),
    ]


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: EventSpecError) -> NoReturn:
    """End a call with the status of `error`, marked as this project's own."""
    code = failure_of(error).code
    metadata = [(_MARK, _NOT_READY if isinstance(error, NotReadyError) else code.value)]
    if error.retry_after_ms:
        metadata.append((_RETRY_AFTER, str(error.retry_after_ms)))
    await context.abort(_STATUSES[code], str(error), trailing_metadata=tuple(metadata))
    raise AssertionError("abort returns to nobody")


def is_word(error: grpc.RpcError) -> bool:
    """Whether a failed call's status is the word of a peer of this project, and not gRPC's own."""
    metadata = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    return any(key == _MARK for key, _ in metadata)


def error_of_status(error: grpc.RpcError) -> EventSpecError:
    """The error behind a failed call.

    gRPC itself uses the same statuses, e.g. INTERNAL for a peer that died in the middle of a frame: only what bears the
    project's mark is a peer's word; all else is a lost link (or a message over the limit, which stays too large).
    """
    details = error.details() or ""
    metadata = dict(cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()))
    code = metadata.get(_MARK)
    if code in _KNOWN or code == _NOT_READY:
        known = NotReadyError(details) if code == _NOT_READY else ERRORS[FailureCode(code)](details)
        after = metadata.get(_RETRY_AFTER, "")
        if isinstance(after, str) and after.isascii() and after.isdigit():
            known.retry_after_ms = min(int(after[:9]), _LONGEST_HINT_MS)
        return known
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ERRORS[FailureCode.CAPACITY](details)
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return LinkError(
            "the peer's certificate isn't of the expected CA, has expired, or is for another host name: check the CA "
            f"file and the address ({details})"
        )
    return LinkError(details or str(error.code()))
