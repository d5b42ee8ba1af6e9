"""A small certificate authority: for tests, to try TLS with, or for a pair that nobody else talks to. PEM, P-256."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import SettingsError
from common.watched_file import write_private

Key = ec.EllipticCurvePrivateKey
_SKEW = timedelta(minutes=5)  # clocks differ


def write_authority(
    folder: Path, *, hosts: Sequence[str], edges: Sequence[str] = (), days: float = 365
) -> tuple[Path, ...]:
    """Make a CA, a server certificate for `hosts`, and a client certificate for each of `edges`.

    Returns:
        The files: ca.pem, ca.key, cloud.pem, cloud.key, and NAME.pem and NAME.key for each edge. Keys have mode 0600.

    Raises:
        SettingsError: a name makes no sense, or a file is there already.
    """
    if not hosts:
        raise SettingsError("name at least one host: certificates are for names")
    if not 0 < days <= 36_500:
        raise SettingsError(f"days must be between 0 and 36500, not {days}")
    for name in edges:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name in ("ca", "cloud"):
            raise SettingsError(f"{name!r} can't name an edge's files: use letters, digits, '-', '_' and '.'")
    names = ["ca", "cloud", *edges]
    files = tuple(folder / f"{name}{ending}" for name in names for ending in (".pem", ".key"))
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
    return files


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
    name = _named("eventspec CA")
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
