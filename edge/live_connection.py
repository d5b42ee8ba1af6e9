"""Connections to live addresses: a host is resolved once, checked, and that address is the one connected to."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from common.errors import VideoFormatError
from edge.live_hosts import HostRules

OPEN_S, READ_S = 10.0, 10.0  # patience with cameras and addresses
PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtmp": 1935, "tcp": 0, "udp": 0}
_LOOK_EVERY_S = 0.2


def parse_address(name: str) -> SplitResult:
    """The parts of an address. Raises VideoFormatError if it has none, or odd characters in it."""
    if any(character <= " " or character == "\x7f" for character in name):
        raise VideoFormatError("an address can't have spaces or control characters in it: write them as %20")
    try:
        parts = urlsplit(name)
        port = parts.port
    except ValueError as error:
        raise VideoFormatError(f"{name} is no address: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise VideoFormatError(f"{scheme}:// can't be watched; addresses begin with {', '.join(PORTS)}")
    if scheme != "udp" and not parts.hostname:
        raise VideoFormatError(f"{name} names no host")
    if not (port or PORTS[scheme]):
        raise VideoFormatError(f"{name} needs a port: {scheme}://HOST:PORT")
    return parts


@dataclass(frozen=True, slots=True)
class Target:
    """A host with the addresses of it that may be opened."""

    host: str
    port: int
    addresses: tuple[str, ...]

    def connect(self) -> socket.socket:
        """A TCP connection to the first address that answers. Raises OSError."""
        last: OSError | None = None
        for address in self.addresses:
            try:
                return socket.create_connection((address, self.port), timeout=OPEN_S)
            except OSError as error:
                last = error
        raise last or OSError("no address")


def resolve(host: str, port: int, rules: HostRules) -> Target:
    """Where a host is. Raises VideoFormatError if it is nowhere, or where askers of this daemon may not go."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise VideoFormatError(f"there is no host {host}: {getattr(error, 'strerror', None) or error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = tuple(text for text in addresses if rules.allows(host, ipaddress.ip_address(text)))
    if not allowed:
        raise VideoFormatError(
            f"{host} isn't among the hosts that this daemon opens live addresses of; its operator can name it in "
            "--live-hosts"
        )
    return Target(host, port, allowed)


def target_of(parts: SplitResult, rules: HostRules) -> Target:
    """Where an address leads. Errors as `resolve`."""
    return resolve(parts.hostname or "", parts.port or PORTS[parts.scheme.lower()], rules)


class Guard:
    """Shuts connections down when `stop` is set, or when opening takes too long: no peer keeps a thread."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        self._deadline: float | None = time.monotonic() + OPEN_S
        threading.Thread(target=self._watch, name="live-guard", daemon=True).start()

    def add(self, connection: socket.socket) -> None:
        """Watch over this one too."""
        self._sockets.append(connection)

    def opened(self) -> None:
        """From here on only `stop` ends it."""
        self._deadline = None

    def opening(self) -> None:
        """It is opened anew, elsewhere in the file."""
        self._deadline = time.monotonic() + OPEN_S

    def close(self) -> None:
        """Shut all connections down."""
        self._ended.set()
        self._shut_down()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            if self._stop.is_set() or (self._deadline is not None and time.monotonic() > self._deadline):
                self._shut_down()

    def _shut_down(self) -> None:
        for connection in self._sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class SocketFile:
    """A TCP connection as PyAV reads it."""

    def __init__(self, connection: socket.socket, guard: Guard) -> None:
        self._connection, self._guard = connection, guard
        connection.settimeout(READ_S)
        guard.add(connection)

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end. Raises OSError."""
        return self._connection.recv(size)

    def close(self) -> None:
        """Let go."""
        self._guard.close()
        self._connection.close()
