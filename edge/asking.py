"""The client side of `eventspec-edge ask`: one call to the edge daemon's local service. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import grpc

from common import codec
from common.ask import AskEvent, AskRequest, EdgeStatus, WatchRequest, WatchState
from common.errors import LinkError
from common.reach import Reaching
from common.rpc import channel_options, error_of_status, is_word
from common.sealing import Caller, DamagedError
from common.security import Reach
from edge.reconnecting import LostDaemonError, NoDaemonError, Silence, reconnecting, waiting

_IN_CLEAR = Reach()


def ask_daemon(
    address: str, ask: AskRequest, reach: Reach = _IN_CLEAR, *, reconnect_s: float = 0.0
) -> Iterator[AskEvent]:
    """The answer's events; the last one is its report.

    A daemon that isn't there yet, or is lost, is waited for, for `reconnect_s` seconds, and asked again; once something
    of the answer has been heard, only if it has a name (`answer_id`).

    Raises:
        LinkError: no daemon at `address`.
        EventSpecError: what the daemon says is wrong.
    """
    return reconnecting(lambda: _ask_once(address, ask, reach), reconnect_s, named=bool(ask.answer_id))


def _ask_once(address: str, ask: AskRequest, reach: Reach) -> Iterator[AskEvent]:
    with closing(_replies(address, "Ask", codec.encode_ask(ask), reach)) as replies:
        for data in replies:
            yield codec.decode_ask_event(data)


def watch_daemon(
    address: str,
    watch: WatchRequest,
    reach: Reach = _IN_CLEAR,
    *,
    wait_s: float = 0.0,
    tell: Callable[[str], None] = lambda text: None,
) -> Generator[WatchState, None, None]:
    """How the watch comes on; it lasts until the generator is closed.

    A daemon that isn't there yet is waited for, for `wait_s` seconds; `tell` hears that.

    Raises:
        LinkError: no daemon at `address`.
        EventSpecError: what the daemon says is wrong.
    """
    return waiting(lambda: _watch_once(address, watch, reach), wait_s, tell)


def _watch_once(address: str, watch: WatchRequest, reach: Reach) -> Iterator[WatchState]:
    with closing(_replies(address, "Watch", codec.encode_watch(watch), reach)) as replies:
        for data in replies:
            yield codec.decode_watch_state(data)


def _replies(address: str, method: str, request: bytes, reach: Reach) -> Generator[bytes, None, None]:
    """What the daemon answers to one call, until the generator is closed."""
    reaching = _reaching(address, reach)
    path, metadata = f"/{codec.EDGE_SERVICE}/{method}", reaching.metadata()
    seals = Caller(path, metadata)
    with reaching.channel(address, channel_options()) as channel:
        stream = channel.unary_stream(path)(seals.seal(request), metadata=metadata)
        try:
            with closing(Silence(stream.cancel)) as silence:
                for data in stream:
                    silence.ends()
                    if body := seals.open(data):  # else a sign of life
                        yield body
        except DamagedError as error:
            raise LostDaemonError(str(error)) from error
        except grpc.RpcError as error:
            raise _explained(error, address, seals) from error
        finally:
            stream.cancel()


def daemon_status(address: str, reach: Reach = _IN_CLEAR) -> EdgeStatus:
    """How the daemon at `address` is. Raises LinkError if there is none."""
    reaching = _reaching(address, reach)
    path, metadata = f"/{codec.EDGE_SERVICE}/Status", reaching.metadata()
    seals = Caller(path, metadata)
    with reaching.channel(address, channel_options()) as channel:
        try:
            request = seals.seal(codec.encode_status_request())
            reply = channel.unary_unary(path)(request, timeout=5.0, metadata=metadata)
            return codec.decode_status(seals.open(reply))
        except grpc.RpcError as error:
            raise _explained(error, address, seals) from error


def _reaching(address: str, reach: Reach) -> Reaching:
    reach.check(address)
    return Reaching(reach)


_UNREACHABLE = ("failed to connect", "connections to all backends", "DNS resolution failed", "errors resolving")
_NOBODY_LISTENS = ("Connection refused", "No such file or directory", "Connection reset")


def _explained(error: grpc.RpcError, address: str, seals: Caller) -> Exception:
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and details.startswith(_UNREACHABLE):
        return NoDaemonError(
            f"no edge daemon answers at {address}",
            "start one with `eventspec-edge serve` (one with TLS wants --edge-ca)",
            may_come=any(words in details for words in _NOBODY_LISTENS),
        )
    known = error_of_status(error, seals)
    if isinstance(known, DamagedError) or (isinstance(known, LinkError) and not is_word(error, seals)):
        return LostDaemonError(str(known))
    return known
