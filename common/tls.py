"""TLS for gRPC: certificates that are checked before they are used, and taken anew when their files change.

Everything is PEM. A server shows `cert` with `key`; with `ca` it also wants a certificate of that CA from every client
(mutual TLS). Running connections keep the certificate that they began with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from common.errors import SettingsError
from common.security import SYSTEM, TlsFiles
from common.watched_file import readable_by_others

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger("eventspec.tls")

_SOON_DAYS = 14


@dataclass(frozen=True, slots=True)
class Pem:
    """The contents of checked files; None where no file was named. Never printed: one of them is a private key."""

    cert: bytes | None
    key: bytes | None
    ca: bytes | None

    def __repr__(self) -> str:
        return "Pem(...)"


def load(files: TlsFiles, now: datetime | None = None) -> Pem:
    """The files' contents, after a look at whether they fit together.

    Raises:
        SettingsError: a file is missing, no PEM, expired or not valid yet, or key and certificate don't fit.
    """
    now = now or datetime.now(UTC)
    ca = None
    if files.ca and files.ca != SYSTEM:
        ca = _read(files.ca)
        for authority in _certificates(ca, files.ca):
            _check_dates(authority, files.ca, now)
    if not files.cert:
        return Pem(None, None, ca)
    cert, key = _read(files.cert), _read(files.key)
    leaf = _certificates(cert, files.cert)[0]
    _check_dates(leaf, files.cert, now)
    if _public_bytes(_private_key(key, files.key).public_key()) != _public_bytes(leaf.public_key()):
        raise SettingsError(f"the key {files.key} isn't the one of the certificate {files.cert}: name the pair's files")
    if readable_by_others(Path(files.key)):
        log.warning("the private key %s can be read by everybody: chmod 600 it", files.key)
    return Pem(cert, key, ca)


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"can't read {name}: {error.strerror}") from error


def _certificates(data: bytes, name: str) -> Sequence[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise SettingsError(f"{name} holds no certificate in PEM: is it the right file?") from error


def _private_key(data: bytes, name: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, None)
    except TypeError as error:
        raise SettingsError(f"the key {name} is encrypted: store it without a passphrase, mode 0600") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{name} holds no private key in PEM: is it the right file?") from error


def _public_bytes(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _check_dates(certificate: x509.Certificate, name: str, now: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= last:
        raise SettingsError(f"the certificate {name} expired on {last:%Y-%m-%d}: renew it")
    if now < first:
        raise SettingsError(f"the certificate {name} isn't valid before {first:%Y-%m-%d %H:%M} UTC: check the clock")
    if (last - now).days < _SOON_DAYS:
        log.warning("the certificate %s expires on %s: renew it in time", name, f"{last:%Y-%m-%d}")


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow their files: a renewed certificate serves from the next handshake on.

    Raises:
        SettingsError: as `load`. Files that go bad later are logged, and the last good ones stay.
    """
    served = _Served(files)
    mutual = bool(files.ca)
    return grpc.dynamic_ssl_server_credentials(served.configuration, served.renewed, mutual)


class _Served:
    """What a server shows, and whether that has changed. gRPC asks at every handshake, from threads of its own."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamps = files.stamps
        self.configuration = _configuration(load(files))

    def renewed(self) -> Any:
        stamps = self._files.stamps
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            self.configuration = _configuration(load(self._files))
        except SettingsError as error:
            log.warning("%s; the certificate read before stays in force", error)
            return None
        log.info("took the certificate %s anew", self._files.cert)
        return self.configuration


def _configuration(pem: Pem) -> Any:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.cert)], pem.ca)


def channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Credentials of a client: whom it trusts (`ca`), and who it is, if it has a certificate. Errors as `load`."""
    pem = load(files)
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)
