"""Metrics beyond this machine: TLS with the daemon's own certificate, and its tokens. Nothing of it on loopback."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from common.access import AUTHORIZATION, Scope, TokenBook, bearer_token, require_scope
from common.errors import AccessError, AuthenticationError, SettingsError
from common.security import Security, TlsFiles, is_local
from common.tls import load

log = logging.getLogger("eventspec.metrics")

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MetricsTls:
    """A certificate that is followed as it changes, for a server of Python's own."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files. Raises SettingsError if they make no sense."""
        self._files = files
        self._stamps = files.stamps
        self._context = _context(files)

    @property
    def context(self) -> ssl.SSLContext:
        """Of the files as they are now; of the last good ones, if these can't be used."""
        stamps = self._files.stamps
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._context = _context(self._files)
            except SettingsError as error:
                log.warning("%s; the certificate read before stays in force", error)
        return self._context


def _context(files: TlsFiles) -> ssl.SSLContext:
    load(files)  # its errors say what to do
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.cert, files.key)
        if files.ca:
            context.load_verify_locations(files.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{files.cert} can't serve metrics over TLS ({error}): copy it again") from error
    return context


def tls_for(address: str, security: Security) -> MetricsTls | None:
    """TLS beyond this machine, if the daemon has a certificate."""
    return None if is_local(address) or not security.tls.cert else MetricsTls(security.tls)


def behind_tokens(app: App, address: str, security: Security) -> App:
    """The same for who shows a token of scope `info`, beyond this machine, if the daemon has tokens."""
    if is_local(address) or not security.tokens:
        return app
    book = TokenBook(security.tokens)

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            shown = [(AUTHORIZATION, str(environ["HTTP_AUTHORIZATION"]))] if "HTTP_AUTHORIZATION" in environ else []
            require_scope(book.entry(bearer_token(shown)), Scope.INFO)
        except AccessError as error:
            status = "401 Unauthorized" if isinstance(error, AuthenticationError) else "403 Forbidden"
            challenge = [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain; charset=utf-8")]
            start_response(status, challenge)
            return [f"{error}\n".encode()]
        return app(environ, start_response)

    return guarded
