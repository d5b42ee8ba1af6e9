"""What `doctor` finds at an address: nobody, a daemon and how it is, or something else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2

from common.doctor import Check, failure, ok, warning
from common.reach import Metadata
from common.security import TlsFiles
from common.server import LIVENESS, READINESS, somebody_listens

_PATIENCE_S = 5.0
_NOT_READY = (
    "its model is still loading, it drains, or its engine is restarting or hangs: look into its log, and wait; "
    "if it stays so, restart it"
)


def port(name: str, address: str) -> Iterator[Check]:
    """Whether a daemon could listen there."""
    if not address:
        return
    problem = _taken(address)
    if problem:
        yield warning(name, f"{address}: {problem}", "fine if the daemon runs already; else choose another address")
    else:
        yield ok(name, f"{address} is free")


def listening(name: str, address: str, tls: TlsFiles, beside: str = "", *, ask_with: str) -> Iterator[Check]:
    """Whether a daemon could listen there, and how the one is that does: asked at `beside` (unix:PATH), if given.

    `ask_with` tells how else a daemon with TLS can be asked.
    """
    problem = _taken(address)
    if not problem:
        yield ok(name, f"{address} is free")
        return
    place = beside if beside and not _free_socket(beside) else address
    if place == address and tls.cert and not address.startswith("unix:"):
        yield warning(
            name,
            f"{address}: {problem}, and how a daemon with TLS is can't be asked from here",
            f"fine if the daemon runs already ({ask_with}); else choose another address",
        )
        return
    with grpc.insecure_channel(_reachable(place)) as channel:
        yield health_of(name, place, channel) or warning(
            name, f"{address}: {problem}, and no daemon of eventspec answers there", "choose another address"
        )


def health_of(name: str, address: str, channel: grpc.Channel, metadata: Metadata = ()) -> Check | None:
    """What a daemon's health service says about it; None if none answers."""
    said = {}
    for asked in (LIVENESS, READINESS):
        call = channel.unary_unary(f"/{health.SERVICE_NAME}/Check")
        request = health_pb2.HealthCheckRequest(service=asked).SerializeToString()
        try:
            reply = call(request, timeout=_PATIENCE_S, metadata=metadata)
            said[asked] = health_pb2.HealthCheckResponse.FromString(reply).status
        except (grpc.RpcError, ValueError):
            return None
    if said[READINESS] == health_pb2.HealthCheckResponse.SERVING:
        return ok(name, f"the daemon at {address} runs and is ready")
    return failure(name, f"the daemon at {address} lives, but isn't ready for new calls", _NOT_READY)


def _taken(address: str) -> str:
    """Why nobody else could listen there; empty: one could."""
    if address.startswith("unix:"):
        return "" if _free_socket(address) else "a daemon listens there"
    host, _, number = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(number)))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _free_socket(address: str) -> bool:
    path = Path(address.removeprefix("unix:").removeprefix("//"))
    return not somebody_listens(address) and path.parent.is_dir()


def _reachable(address: str) -> str:
    """Where one connects to who listens at an address: not at "all addresses", but at this machine's own."""
    host, _, number = address.rpartition(":")
    return f"localhost:{number}" if host in ("0.0.0.0", "[::]", "::") else address
