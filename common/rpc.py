"""gRPC as this project uses it: channel and server options, and errors as statuses (translated only here)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, cast
from zlib import crc32

import grpc
import grpc.aio

from common.errors import AccessError, EventSpecError, LinkError, NotReadyError
from common.failures import ERRORS, LONGEST_MESSAGE, failure_of
from common.sealing import Caller, DamagedError
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
# in place of a failure's code; a peer that doesn't know it takes it for a lost link
_LINK_ERRORS: dict[str, type[LinkError]] = {"not_ready": NotReadyError, "damaged": DamagedError}
_RETRY_AFTER = "eventspec-retry-after-ms"
_CHECK = "eventspec-check"

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


def ask_once(
    channel: grpc.Channel, path: str, request: bytes, *, metadata: Sequence[tuple[str, str]] = (), timeout: float
) -> bytes:
    """The reply to one sealed request.

    Args:
        channel: to the peer.
        path: of the method.
        request: the message.
        metadata: of the call.
        timeout: seconds.

    Raises:
        EventSpecError: what the peer says, or that it can't be reached.
    """
    seals = Caller(path, metadata)
    try:
        return seals.open(channel.unary_unary(path)(seals.seal(request), timeout=timeout, metadata=tuple(metadata)))
    except grpc.RpcError as error:
        raise error_of_status(error, seals) from error


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: EventSpecError, start: int) -> NoReturn:
    """End a call with the status of `error`, marked as this project's own, with a checksum that goes on from `start`.

    `start` is `common.sealing.Callee.start`.
    """
    code, details = failure_of(error).code, str(error)[:LONGEST_MESSAGE]
    mark = next((name for name, kind in _LINK_ERRORS.items() if isinstance(error, kind)), code.value)
    hint = str(error.retry_after_ms) if error.retry_after_ms else ""
    metadata = [(_MARK, mark), (_CHECK, _checksum(mark, hint, details, start))]
    if hint:
        metadata.append((_RETRY_AFTER, hint))
    await context.abort(_STATUSES[code], details, trailing_metadata=tuple(metadata))
    raise AssertionError("abort returns to nobody")


def _checksum(code: str, hint: str, details: str, start: int) -> str:
    said = "\0".join((code, hint, details))
    return f"{crc32(said.encode(errors='replace'), start):08x}"


def _word(error: grpc.RpcError, seals: Caller) -> EventSpecError | None:
    """What the peer said of this call; None if that isn't certain."""
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    metadata = {key: value for key, value in pairs}  # noqa: C416 (gRPC's own kind has keys(), and means pairs)
    code, hint, details = str(metadata.get(_MARK, "")), str(metadata.get(_RETRY_AFTER, "")), error.details() or ""
    if code not in _KNOWN and code not in _LINK_ERRORS:
        return None
    known = _LINK_ERRORS[code](details) if code in _LINK_ERRORS else ERRORS[FailureCode(code)](details)
    of_headers, of_call = seals.starts
    believed = [of_headers] if isinstance(known, AccessError) or known.retryable else []
    believed += [of_call] if of_call is not None else []
    if metadata.get(_CHECK) not in [_checksum(code, hint, details, start) for start in believed]:
        return None
    if hint.isascii() and hint.isdigit():
        known.retry_after_ms = min(int(hint[:9]), _LONGEST_HINT_MS)
    return known


def is_word(error: grpc.RpcError, seals: Caller) -> bool:
    """Whether the status of a failed call, whose seals these are, is beyond doubt what its peer said of it."""
    return _word(error, seals) is not None


def error_of_status(error: grpc.RpcError, seals: Caller) -> EventSpecError:
    """The error behind a failed call.

    gRPC itself uses the same statuses, e.g. INTERNAL for a peer that died in the middle of a frame, and headers may be
    damaged on their way: only what bears the project's mark and a checksum that fits this call is the peer's word; one
    that fits the call's headers alone, only if it is about them. All else is a lost link.

    Args:
        error: of the call.
        seals: the call's.
    """
    known = _word(error, seals)
    if known is not None:
        return known
    details = error.details() or ""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return LinkError(
            "the peer's certificate isn't of the expected CA, has expired, or is for another host name: check the CA "
            f"file and the address ({details})"
        )
    return LinkError(details or str(error.code()))


def blames_connection(error: grpc.RpcError, seals: Caller) -> bool:
    """Whether a failed call makes its connection suspect: something answered, but not as a peer of this project does.

    Damage to HTTP/2's own state (HPACK's table, settings) stays for a connection's life.
    """
    return error.code() is not grpc.StatusCode.UNAVAILABLE and not is_word(error, seals)
