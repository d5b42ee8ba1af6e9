"""gRPC as this project uses it: channel and server options, and errors as statuses (translated only here)."""

from __future__ import annotations

from typing import Any

import grpc

from common.errors import EventSpecError, LinkError
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
}


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


def status_of(error: EventSpecError) -> grpc.StatusCode:
    """The gRPC status of an error."""
    return _STATUSES[failure_of(error).code]


def error_of_status(error: grpc.RpcError) -> EventSpecError:
    """The error behind a failed call; anything that isn't ours is a lost link."""
    code, details = error.code(), error.details() or ""
    for failure_code, status in _STATUSES.items():
        if status is code and failure_code is not FailureCode.UNAVAILABLE:
            return ERRORS[failure_code](details)
    return LinkError(details or str(code))
