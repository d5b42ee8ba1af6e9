"""Client certificates that were revoked: a list signed by their authority (CRL, PEM), followed when its file changes.

gRPC checks whose a certificate is and when it expires, and knows no lists: they are looked into at each call, and every
second while a stream runs. Whoever's certificate is of an authority without a list is refused too.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio

from common.errors import AuthenticationError, SettingsError
from common.watched_file import WatchedFile

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger("eventspec.access")

_BEGIN, _END = "-----BEGIN X509 CRL-----", "-----END X509 CRL-----"


class RevokedCertificates:
    """One file of lists; may hold several, one of each authority."""

    def __init__(self, crl: str, ca: str) -> None:
        """Read it.

        Args:
            crl: file of the lists, PEM.
            ca: file of the authorities, PEM.

        Raises:
            SettingsError: a file can't be read, a list isn't signed by one of the authorities, or is out of date.
        """
        self._file, self._ca = WatchedFile(Path(crl)), ca
        self._lists = read_lists(self._file.read_text(), crl, ca)

    def check(self, pem: bytes) -> None:
        """Raise AuthenticationError if a certificate (PEM) was taken back, or its authority has no list."""
        self._follow()
        issuer, serial = _identity(pem)
        revoked = self._lists.get(issuer)
        if revoked is None:
            raise AuthenticationError(
                "there is no revocation list of the authority that issued the client's certificate"
            )
        if serial in revoked:
            raise AuthenticationError("the client's certificate was revoked: ask the operator for another one")

    def check_call(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """The same for the certificate that a call came with; calls by a unix socket have none. Errors as `check`."""
        if context.peer().startswith("unix:"):
            return
        shown = context.auth_context().get("x509_pem_cert", ())
        if not shown:
            raise AuthenticationError("the client shows no certificate")
        self.check(bytes(shown[0]))

    def _follow(self) -> None:
        try:
            text = self._file.changed_text()
            if text is not None:
                self._lists = read_lists(text, str(self._file.path), self._ca)
                log.info("took the revocation list %s anew", self._file.path)
        except SettingsError as error:
            log.warning("%s; the list read before stays in force", error)


def read_lists(text: str, name: str, ca: str) -> dict[bytes, frozenset[int]]:
    """Revoked serial numbers by the issuer's name (DER). Errors as of `RevokedCertificates`."""
    from cryptography import x509

    authorities = _authorities(ca)
    found: dict[bytes, frozenset[int]] = {}
    for part in text.split(_BEGIN)[1:]:
        try:
            listed = x509.load_pem_x509_crl(f"{_BEGIN}{part.partition(_END)[0]}{_END}\n".encode())
            serials = frozenset(entry.serial_number for entry in listed)
        except ValueError as error:
            raise SettingsError(f"{name} holds no revocation list in PEM: is it the right file?") from error
        issuer = listed.issuer.public_bytes()
        if not any(listed.is_signature_valid(key) for key in authorities.get(issuer, ())):
            raise SettingsError(f"a revocation list in {name} isn't signed by an authority in {ca}")
        if listed.next_update_utc is not None and listed.next_update_utc < datetime.now(UTC):
            raise SettingsError(f"a revocation list in {name} ended on {listed.next_update_utc:%Y-%m-%d}: renew it")
        found[issuer] = found.get(issuer, frozenset()) | serials
    if not found:
        raise SettingsError(f"{name} holds no revocation list in PEM: is it the right file?")
    return found


def _authorities(ca: str) -> dict[bytes, list[Any]]:
    """Public keys by the authority's name."""
    from cryptography import x509

    found: dict[bytes, list[Any]] = {}
    try:
        for authority in x509.load_pem_x509_certificates(Path(ca).read_bytes()):
            found.setdefault(authority.subject.public_bytes(), []).append(authority.public_key())
    except (OSError, ValueError) as error:
        raise SettingsError(f"can't read the authorities in {ca}: {error}") from error
    return found


@lru_cache(maxsize=1024)
def _identity(pem: bytes) -> tuple[bytes, int]:
    from cryptography import x509

    try:
        certificate: x509.Certificate = x509.load_pem_x509_certificate(pem)
        return certificate.issuer.public_bytes(), certificate.serial_number
    except ValueError as error:
        raise AuthenticationError("the client's certificate can't be read") from error
