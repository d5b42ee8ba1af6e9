"""A small certificate authority: for tests, to try TLS with, or for a pair that nobody else talks to. PEM, P-256."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import SettingsError
from common.watched_file import write_private

Key = ec.EllipticCurvePrivateKey
_AUTHORITY = "eventspec CA"
_CRL = "crl.pem"
_SKEW = timedelta(minutes=5)  # clocks differ


def write_authority(
    folder: Path, *, hosts: Sequence[str], edges: Sequence[str] = (), days: float = 365
) -> tuple[Path, ...]:
    """Make a CA, a server certificate for `hosts`, and a client certificate for each of `edges`.

    Returns:
        The files: ca.pem, ca.key, cloud.pem, cloud.key, NAME.pem and NAME.key for each edge, and crl.pem, the list of
        what was revoked: nothing yet. Keys have mode 0600.

    Raises:
        SettingsError: a name makes no sense, or a file is there already.
    """
    if not hosts:
        raise SettingsError("name at least one host: certificates are for names")
    if not 0 < days <= 36_500:
        raise SettingsError(f"days must be between 0 and 36500, not {days}")
    for name in edges:
        _check_edge(name)
    names = ["ca", "cloud", *edges]
    files = (*(folder / f"{name}{ending}" for name in names for ending in (".pem", ".key")), folder / _CRL)
    for path in files:
        if path.exists():
            raise SettingsError(f"{path} is there already: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"can't make the folder {folder}: {error.strerror}") from error
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, days)
    _write(folder, "ca", authority, authority_key)
    for name in ("cloud", *edges):
        key = ec.generate_private_key(ec.SECP256R1())
        server = name == "cloud"
        certificate = _leaf(name, hosts if server else (), key, authority, authority_key, days)
        _write(folder, name, certificate, key)
    _write_list(folder, authority, authority_key, [])
    return files


def issue(folder: Path, edge: str, *, days: float = 365) -> tuple[Path, ...]:
    """Another client certificate of the authority in a folder: for a new edge, or in place of one that ends.

    Returns:
        The files NAME.pem and NAME.key; what was there is replaced.

    Raises:
        SettingsError: there is no authority, or the name or the days make no sense.
    """
    _check_edge(edge)
    if not 0 < days <= 36_500:
        raise SettingsError(f"days must be between 0 and 36500, not {days}")
    authority, authority_key = _read_authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder, edge, _leaf(edge, (), key, authority, authority_key, days), key)
    return folder / f"{edge}.pem", folder / f"{edge}.key"


def revoke(folder: Path, certificate: Path) -> Path:
    """Add a certificate to the list of the authority in a folder; returns the list's file.

    Raises:
        SettingsError: a file can't be read, the certificate is of another authority, or it is a server's: edges don't
            look at the list.
    """
    authority, authority_key = _read_authority(folder)
    try:
        revoked = x509.load_pem_x509_certificate(certificate.read_bytes())
        revoked.verify_directly_issued_by(authority)
    except OSError as error:
        raise SettingsError(f"can't read {certificate}: {error.strerror}") from error
    except (ValueError, TypeError, InvalidSignature) as error:
        raise SettingsError(f"{certificate} holds no certificate of the authority in {folder}") from error
    if not _for_clients(revoked):
        raise SettingsError(
            f"{certificate} is a server's, and only servers look at the list: make a new authority for the edges"
        )
    path = folder / _CRL
    try:
        listed = list(x509.load_pem_x509_crl(path.read_bytes())) if path.exists() else []
    except (OSError, ValueError) as error:
        raise SettingsError(f"can't read the list {path}: {error}") from error
    if all(entry.serial_number != revoked.serial_number for entry in listed):
        listed.append(
            x509.RevokedCertificateBuilder()
            .serial_number(revoked.serial_number)
            .revocation_date(datetime.now(UTC))
            .build()
        )
    _write_list(folder, authority, authority_key, listed)
    return path


def _check_edge(name: str) -> None:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or name in ("ca", "cloud", "crl"):
        raise SettingsError(f"{name!r} can't name an edge's files: use letters, digits, '-', '_' and '.'")


def _read_authority(folder: Path) -> tuple[x509.Certificate, Key]:
    try:
        authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except OSError as error:
        raise SettingsError(f"there is no authority in {folder}: ca.pem and ca.key ({error.strerror})") from error
    except (ValueError, TypeError) as error:
        raise SettingsError(f"ca.pem and ca.key in {folder} can't be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
        raise SettingsError(f"ca.key in {folder} isn't the key of ca.pem")
    return authority, key


def _write_list(
    folder: Path, authority: x509.Certificate, authority_key: Key, listed: Sequence[x509.RevokedCertificate]
) -> None:
    """The list as a whole; it is good for as long as the authority."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(datetime.now(UTC) - _SKEW)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    for entry in listed:
        builder = builder.add_revoked_certificate(entry)
    text = builder.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    write_private(folder / _CRL, text)
    (folder / _CRL).chmod(0o644)  # no secret, and the daemon may be another user's


def _builder(name: x509.Name, issuer: x509.Name, key: Key, days: float) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: Key, days: float) -> x509.Certificate:
    name = _named(_AUTHORITY)
    return (
        _builder(name, name, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    name: str, hosts: Sequence[str], key: Key, authority: x509.Certificate, authority_key: Key, days: float
) -> x509.Certificate:
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_named(name), authority.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise SettingsError(f"{host!r} is no host name or address") from error


def _write(folder: Path, name: str, certificate: x509.Certificate, key: Key) -> None:
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(folder / f"{name}.key", pem.decode())


def _for_clients(certificate: x509.Certificate) -> bool:
    """Whether a certificate may be a client's: one that names no purpose may."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes
