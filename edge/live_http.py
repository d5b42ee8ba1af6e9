"""Videos by HTTP: read through a connection of our own, since FFmpeg follows redirects wherever they lead."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from common.errors import VideoFormatError
from edge.live_connection import READ_S, Guard, resolve
from edge.live_hosts import HostRules

_MOST_REDIRECTS = 3
_PLAYLISTS = ("mpegurl", "dash+xml", "vnd.ms-sstr", "x-ms-asf", "smil")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Refused, unless the rules allow them: to the same host, or one that they name."""

    max_redirections = max_repeats = _MOST_REDIRECTS

    def __init__(self, rules: HostRules) -> None:
        self._rules = rules

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if not self._rules.redirects:
            raise VideoFormatError(
                f"the server sends on to another address ({code}): name that one itself, or give the daemon "
                "--live-redirects"
            )
        if after.scheme not in ("http", before.scheme) or (before.scheme == "https" and after.scheme == "http"):
            raise VideoFormatError(f"the server sends on to {after.scheme}://, which isn't followed")
        if after.hostname != before.hostname and not self._rules.is_named(after.hostname or ""):
            raise VideoFormatError(f"the server sends on to {after.hostname}, which --live-hosts doesn't name")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Connections(urllib.request.AbstractHTTPHandler):
    """Opens connections to checked addresses only."""

    def __init__(self, rules: HostRules, guard: Guard) -> None:
        super().__init__()
        self._rules, self._guard = rules, guard

    def http_request(self, req: Any) -> Any:
        return self.do_request_(req)

    https_request = http_request

    def http_open(self, req: Any) -> Any:
        return self.do_open(self._plain, req)

    def https_open(self, req: Any) -> Any:
        return self.do_open(self._secure, req)

    def _plain(self, host: str, **more: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(host, **more)
        connection.sock = self._connect(connection)
        return connection

    def _secure(self, host: str, **more: Any) -> http.client.HTTPConnection:
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, context=context, **more)
        connection.sock = context.wrap_socket(self._connect(connection), server_hostname=connection.host)
        self._guard.add(connection.sock)
        return connection

    def _connect(self, connection: http.client.HTTPConnection) -> socket.socket:
        made = resolve(connection.host, connection.port, self._rules).connect()
        made.settimeout(READ_S)
        self._guard.add(made)
        return made


class HttpFile:
    """A video by HTTP as PyAV reads it, from the beginning on."""

    def __init__(self, parts: SplitResult, rules: HostRules, guard: Guard) -> None:
        """Ask for it. Raises VideoFormatError."""
        self.url = urlunsplit(
            (parts.scheme.lower(), parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, "")
        )
        self._guard = guard
        handlers: list[urllib.request.BaseHandler] = [
            _Connections(rules, guard),
            _Redirects(rules),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ]
        if parts.username is not None:
            passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            passwords.add_password(None, self.url, unquote(parts.username), unquote(parts.password or ""))
            handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
            handlers.append(urllib.request.HTTPDigestAuthHandler(passwords))
        self._opener = urllib.request.OpenerDirector()
        for handler in handlers:
            self._opener.add_handler(handler)
        self._response = self._request(0)
        kind = str(self._response.headers.get("Content-Type", "")).lower()
        if any(word in kind for word in _PLAYLISTS):
            raise VideoFormatError(f"{self.url} is a playlist ({kind}), which isn't followed: name the stream itself")

    def _request(self, start: int) -> Any:
        request = urllib.request.Request(self.url, headers={"User-Agent": "eventspec", "Accept": "*/*"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        self._guard.opening()
        try:
            response = self._opener.open(request, timeout=READ_S)
        except ssl.SSLCertVerificationError as error:
            raise VideoFormatError(_untrusted(self.url, error)) from error
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raise VideoFormatError(f"{self.url} answers {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise VideoFormatError(_untrusted(self.url, reason)) from error
            raise VideoFormatError(
                f"{self.url} can't be reached: {getattr(reason, 'strerror', None) or reason}"
            ) from error
        self._guard.opened()
        return response

    def read(self, size: int) -> bytes:
        """Up to so many bytes, as they come; none at the end. Raises OSError."""
        try:
            data: bytes = self._response.read1(size)
        except http.client.HTTPException as error:
            raise OSError(f"the server broke off: {error}") from error
        return data

    def close(self) -> None:
        """Let go."""
        self._guard.close()
        self._response.close()


class SeekableHttpFile(HttpFile):
    """One of a server that sends parts of a file: an mp4 may have its index at the end."""

    def __init__(self, first: HttpFile, length: int) -> None:
        """Take over what was opened."""
        self.__dict__.update(first.__dict__)
        self._length, self._at = length, 0

    def read(self, size: int) -> bytes:
        """As of any file. Raises OSError."""
        data = super().read(size) if self._at < self._length else b""
        self._at += len(data)
        return data

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere, with a request of its own. Raises OSError."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        wanted = base + offset
        if not 0 <= wanted <= self._length:
            raise io.UnsupportedOperation(f"there is no place {wanted}")
        if wanted != self._at:
            if wanted < self._length:
                self._response.close()
                try:
                    self._response = self._request(wanted)
                except VideoFormatError as error:
                    raise OSError(str(error)) from error
                if self._response.status != http.client.PARTIAL_CONTENT and wanted:
                    raise OSError("the server doesn't send parts of the file any more")
            self._at = wanted
        return wanted


def open_http(parts: SplitResult, rules: HostRules, guard: Guard) -> HttpFile:
    """A video by HTTP. Raises VideoFormatError."""
    file = HttpFile(parts, rules, guard)
    headers = file._response.headers
    length = str(headers.get("Content-Length", ""))
    if length.isdecimal() and str(headers.get("Accept-Ranges", "")).lower() == "bytes":
        return SeekableHttpFile(file, int(length))
    return file


def _untrusted(url: str, error: ssl.SSLCertVerificationError) -> str:
    return (
        f"the certificate of {url} isn't trusted ({error.verify_message}): SSL_CERT_FILE names the authorities that are"
    )
