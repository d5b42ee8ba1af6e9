"""The client side of `eventspec-edge ask`: one call to the edge daemon's local service. Needs no torch."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import grpc

from common import codec
from common.ask import AskEvent, AskRequest, EdgeStatus, WatchRequest, WatchState
from common.errors import LinkError
from common.rpc import channel_options, error_of_status


def ask_daemon(address: str, ask: AskRequest) -> Iterator[AskEvent]:
    """The answer's events; the last one is its report.

    Raises:
        LinkError: no daemon at `address`.
        EventSpecError: what the daemon says is wrong.
    """
    with grpc.insecure_channel(address, options=channel_options()) as channel:
        call = channel.unary_stream(f"/{codec.EDGE_SERVICE}/Ask")
        stream = call(codec.encode_ask(ask))
        try:
            for data in stream:
                yield codec.decode_ask_event(data)
        except grpc.RpcError as error:
            raise _explained(error, address) from error
        finally:
            stream.cancel()


def watch_daemon(address: str, watch: WatchRequest) -> Generator[WatchState, None, None]:
    """How the watch comes on; it lasts until the generator is closed.

    Raises:
        LinkError: no daemon at `address`.
        EventSpecError: what the daemon says is wrong.
    """
    with grpc.insecure_channel(address, options=channel_options()) as channel:
        stream = channel.unary_stream(f"/{codec.EDGE_SERVICE}/Watch")(codec.encode_watch(watch))
        try:
            for data in stream:
                yield codec.decode_watch_state(data)
        except grpc.RpcError as error:
            raise _explained(error, address) from error
        finally:
            stream.cancel()


def daemon_status(address: str) -> EdgeStatus:
    """How the daemon at `address` is. Raises LinkError if there is none."""
    with grpc.insecure_channel(address, options=channel_options()) as channel:
        call = channel.unary_unary(f"/{codec.EDGE_SERVICE}/Status")
        try:
            return codec.decode_status(call(codec.encode_status_request(), timeout=5.0))
        except grpc.RpcError as error:
            raise _explained(error, address) from error


def _explained(error: grpc.RpcError, address: str) -> Exception:
    unreachable = (error.details() or "").startswith(("failed to connect", "connections to all backends"))
    if error.code() is grpc.StatusCode.UNAVAILABLE and unreachable:
        return LinkError(f"no edge daemon answers at {address}: start one with `eventspec-edge serve`")
    return error_of_status(error)
