"""The sockets that this process has accepted on some ports, found among its own descriptors, and shut down by hand.

gRPC's C core accepts connections and tells nobody of them. Linux lists a process's descriptors in `/proc/self/fd`; each
is looked at once, through a copy, and known by its inode from then on, so that a number that the kernel gives out again
is never taken for what it was.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

_DESCRIPTORS = Path("/proc/self/fd")

Peer = tuple[str, int]  # host, as `ipaddress` writes it, and port


@dataclass(frozen=True, slots=True)
class Accepted:
    """One socket: its descriptor, and the inode that tells it from later ones of the same number."""

    peer: Peer
    descriptor: int
    inode: int


class AcceptedSockets:
    """Connections to ports of this process. Not for several threads."""

    def __init__(self) -> None:
        self._ports: set[int] = set()
        self._seen: dict[int, tuple[int, Accepted | None]] = {}

    @property
    def supported(self) -> bool:
        """False where the system has no list of descriptors."""
        return _DESCRIPTORS.is_dir()

    def add_port(self, port: int) -> None:
        """Look for connections to this port, too."""
        self._ports.add(port)
        self._seen = {}

    def look(self) -> list[Accepted]:
        """All that there are now."""
        seen: dict[int, tuple[int, Accepted | None]] = {}
        with os.scandir(_DESCRIPTORS) as entries:
            descriptors = [int(entry.name) for entry in entries]
        for descriptor in descriptors:
            inode = _inode(descriptor)
            if inode is None:
                continue
            before = self._seen.get(descriptor)
            unchanged = before is not None and before[0] == inode
            seen[descriptor] = before if unchanged and before else (inode, self._accepted(descriptor))
        self._seen = seen
        return [found for _, found in seen.values() if found is not None]

    def _accepted(self, descriptor: int) -> Accepted | None:
        try:
            copy = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            return None
        with copy:
            try:
                if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.getsockname()[1] not in self._ports:
                    return None
                host, port = copy.getpeername()[:2]
            except OSError:  # a listener, or one that is gone
                return None
            return Accepted((_plain(host), port), descriptor, os.fstat(copy.fileno()).st_ino)

    def shut(self, accepted: Accepted) -> None:
        """End a connection; whoever serves it hears of its end, and closes it."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(accepted.descriptor)) as copy:
            if os.fstat(copy.fileno()).st_ino == accepted.inode:
                copy.shutdown(socket.SHUT_RDWR)


def _inode(descriptor: int) -> int | None:
    """Of a socket; None for anything else."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None


def peer_of(name: str) -> Peer | None:
    """The peer in gRPC's name of one, such as `ipv6:%5B::1%5D:53422`; None for a unix socket's."""
    kind, _, rest = name.partition(":")
    host, _, port = unquote(rest).rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    return _plain(host.strip("[]")), int(port)


@lru_cache(1_024)
def _plain(host: str) -> str:
    """One spelling of an address: without a zone, and IPv4 as such also where a socket of IPv6 has taken it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)
