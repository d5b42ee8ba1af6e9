"""A live address, opened: what PyAV is given so that nothing but the named address is ever connected to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlunsplit

from common.errors import VideoFormatError
from edge.live_connection import OPEN_S, READ_S, Guard, SocketFile, parse_address, resolve, target_of
from edge.live_hosts import HostRules
from edge.live_http import open_http
from edge.live_rtsp import RtspRelay

# containers and raw streams; no playlists, which name other files and addresses
CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,ivf,h264,hevc,m4v,mjpeg,image2pipe,yuv4mpegpipe"
_STREAMS = f"{CONTAINERS},mpjpeg"  # the latter: pictures by HTTP, each with a header


@dataclass(slots=True)
class Opened:
    """What `av.open` is given. `why` says what went wrong where FFmpeg can't know."""

    name: Any
    options: dict[str, str]
    more: dict[str, Any] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None
    why: Callable[[], str] = lambda: ""


def shown_address(name: str) -> str:
    """The address as messages name it: without user and password."""
    scheme, _, rest = name.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def open_address(name: str, rules: HostRules, stop: threading.Event) -> Opened:
    """Open an address as far as that is our business. Ends when `stop` is set.

    Raises:
        VideoFormatError: there is no such thing, its host isn't allowed, or it sends on to another one.
    """
    parts = parse_address(name)
    match parts.scheme.lower():
        case "rtmp":
            return _rtmp(parts, rules)
        case "udp":
            return _udp(parts, rules)
    guard = Guard(stop)
    try:
        if parts.scheme.lower() in ("http", "https"):
            return _from_file(open_http(parts, rules, guard))
        connection = target_of(parts, rules).connect()
        if parts.scheme.lower() == "tcp":
            file = SocketFile(connection, guard)
            guard.opened()
            return _from_file(file)
        return _rtsp(parts, RtspRelay(connection, guard), guard)
    except OSError as error:
        guard.close()
        raise VideoFormatError(f"can't watch {shown_address(name)}: {error.strerror or error}") from error
    except BaseException:
        guard.close()
        raise


def _from_file(file: Any) -> Opened:
    return Opened(file, {"format_whitelist": _STREAMS, "protocol_whitelist": ""}, close=file.close)


def _rtsp(parts: SplitResult, relay: RtspRelay, guard: Guard) -> Opened:
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    url = urlunsplit(("rtsp", f"{user}127.0.0.1:{relay.port}", parts.path, parts.query, ""))
    guard.opened()  # FFmpeg has a limit of its own
    options = {"format_whitelist": "rtsp", "protocol_whitelist": "tcp", "rtsp_transport": "tcp"}
    why = lambda: f": {relay.error}" if relay.error is not None else ""  # noqa: E731
    return Opened(url, options, {"timeout": (OPEN_S, READ_S)}, relay.close, why)


def _rtmp(parts: SplitResult, rules: HostRules) -> Opened:
    target = target_of(parts, rules)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    url = urlunsplit(("rtmp", f"{user}{_in_url(target.addresses[0])}:{target.port}", parts.path, parts.query, ""))
    options = {"format_whitelist": "flv,live_flv", "protocol_whitelist": "rtmp,tcp"}
    return Opened(url, options, {"timeout": (OPEN_S, READ_S)})


def _udp(parts: SplitResult, rules: HostRules) -> Opened:
    """Datagrams that come to a port of this machine; nothing is sent. A host is a group to join, or this machine."""
    if parts.query:
        raise VideoFormatError("udp:// addresses can't have options")
    host = ""
    if parts.hostname:
        host = _in_url(_group_of(parts.hostname) or resolve(parts.hostname, parts.port or 0, rules).addresses[0])
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "udp"}
    return Opened(f"udp://{host}:{parts.port}", options, {"timeout": (OPEN_S, READ_S)})


def _group_of(host: str) -> str:
    import ipaddress

    try:
        return host if ipaddress.ip_address(host).is_multicast else ""
    except ValueError:
        return ""


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
