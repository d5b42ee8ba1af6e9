"""The door of a daemon: who comes in, by token or client certificate, and what a call's scope must be.

Without tokens and client certificates everybody may come in, as the same nameless principal; a daemon that is like that
listens on loopback only, unless told otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

import grpc
import grpc.aio

from common.access import Scope, TokenBook, bearer_token, require_scope
from common.errors import AccessError, AuthenticationError
from common.revocation import RevokedCertificates
from common.standing import Standing

log = logging.getLogger("eventspec.access")

_LOG_EVERY_S = 10.0
HOLD_S = 0.5  # that a refusal takes
_MOST_HELD = 2_000  # refusals at a time; more are told at once


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the name that a token or certificate gives it (empty: nobody knows), and from which host."""

    name: str = ""
    host: str = ""

    @property
    def client(self) -> str:
        """Whose share of this daemon a call uses: by name, else by host."""
        return f"={self.name}" if self.name else f"@{self.host}"

    def scoped(self, chosen_id: str) -> str:
        """An id that this principal chose, so that no other principal's can ever be equal to it."""
        if not self.name or not chosen_id:
            return chosen_id
        return hashlib.blake2b(f"{self.name}\0{chosen_id}".encode(), digest_size=16).hexdigest()


Metadata = Iterable[tuple[str, str | bytes]]


class Door:
    """Decides about calls. `scopes` has the scope of each method by its path; others need `Scope.INFO`."""

    def __init__(
        self,
        scopes: Mapping[str, Scope | None],
        tokens: str = "",
        *,
        certificates: bool = False,
        revoked: RevokedCertificates | None = None,
    ) -> None:
        """Read the token file, if there is one; `revoked` are client certificates that open nothing any more.

        Raises:
            SettingsError: it can't be read, or makes no sense.
        """
        self._scopes = scopes
        self._book = TokenBook(tokens) if tokens else None
        self._certificates = certificates
        self._revoked = revoked
        self._held = 0
        self.refusals = 0
        self._refused = 0
        self._logged = float("-inf")

    @property
    def has_tokens(self) -> bool:
        """True if callers must show a token."""
        return self._book is not None

    def check(self, method: str, metadata: Metadata) -> None:
        """Raise AccessError unless a call's token is for its method."""
        scope = self._scopes.get(method, Scope.INFO)
        if self._book is None or scope is None:
            return
        try:
            require_scope(self._book.entry(bearer_token(metadata)), scope)
        except AccessError as error:
            self._count(method, error)
            raise

    def refusal(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> AccessError | None:
        """Why a caller's certificate isn't good any more; None if it is, or if none is asked for."""
        if self._revoked is None:
            return None
        try:
            self._revoked.check_call(context)
        except AccessError as error:
            self._count(method, error)
            return error
        return None

    def principal(self, context: grpc.aio.ServicerContext[Any, Any]) -> Principal:
        """Who makes a call. Raises AuthenticationError if that must be known, and isn't."""
        host = host_of(context.peer())
        if self._book is not None:
            metadata = cast("Metadata", context.invocation_metadata() or ())
            return Principal(self._book.entry(bearer_token(metadata)).principal, host)
        if self._certificates and not context.peer().startswith("unix:"):
            return Principal(_certified_name(context), host)
        return Principal("", host)

    def standing(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Standing:
        """Whether a call of a method (by its path) would still be let in, while it runs. Raises AccessError."""
        revoked = self._revoked
        certificate = (lambda: revoked.check_call(context)) if revoked is not None else None
        if self._book is None:
            return Standing(certificate=certificate)
        metadata = cast("Metadata", context.invocation_metadata() or ())
        scope = self._scopes.get(method, Scope.INFO)
        return Standing(self._book, bearer_token(metadata), scope, certificate=certificate)

    def require(self, scope: Scope, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Raise AccessError unless a call's token has another scope, too; where there are no tokens, all may do all."""
        if self._book is not None:
            metadata = cast("Metadata", context.invocation_metadata() or ())
            require_scope(self._book.entry(bearer_token(metadata)), scope)

    async def hold(self) -> None:
        """Keep a refused caller waiting: it costs nothing here, and whoever tries on and on does it slowly."""
        if self._held < _MOST_HELD:
            self._held += 1
            try:
                await asyncio.sleep(HOLD_S)
            finally:
                self._held -= 1

    def _count(self, method: str, error: AccessError) -> None:
        """Strangers don't fill the log."""
        self.refusals += 1
        self._refused += 1
        now = time.monotonic()
        if now - self._logged >= _LOG_EVERY_S:
            log.warning("refused %d calls; the last was %s: %s", self._refused, method, error)
            self._logged, self._refused = now, 0


def host_of(peer: str) -> str:
    """The host in gRPC's name of a peer, such as `ipv4:10.0.0.7:53422`; a unix socket's is `local`."""
    kind, _, rest = peer.partition(":")
    if kind == "unix":
        return "local"
    return unquote(rest).rpartition(":")[0].strip("[]")


def _certified_name(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    identity = context.auth_context()
    for key in ("x509_common_name", "x509_subject_alternative_name"):
        for value in identity.get(key, ()):
            if value:
                return str(value, "utf-8", "replace")
    raise AuthenticationError("the client's certificate names nobody: give it a common name")
