"""Lists of revoked client certificates: what they hold, who signed them, and that they are followed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from typer.testing import CliRunner

from cloud.config import CloudSettings
from cloud.security_cli import certs_app
from common import certificates
from common.certificates import issue, revoke, write_authority
from common.errors import AuthenticationError, SettingsError
from common.revocation import RevokedCertificates


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("common.watched_file._LOOK_EVERY_S", 0.0)
    write_authority(tmp_path / "certs", hosts=["x"], edges=["edge-1", "edge-2"])
    return tmp_path / "certs"


def lists_of(folder: Path, crl: str = "crl.pem") -> RevokedCertificates:
    return RevokedCertificates(str(folder / crl), str(folder / "ca.pem"))


def certificate(folder: Path, name: str = "edge-1") -> bytes:
    return (folder / f"{name}.pem").read_bytes()


def test_a_revoked_certificate_is_refused_and_no_other(folder: Path) -> None:
    lists = lists_of(folder)
    lists.check(certificate(folder))
    revoke(folder, folder / "edge-1.pem")
    with pytest.raises(AuthenticationError, match="was revoked"):
        lists.check(certificate(folder))
    lists.check(certificate(folder, "edge-2"))
    revoke(folder, folder / "edge-1.pem")  # twice is once
    revoke(folder, folder / "edge-2.pem")
    with pytest.raises(AuthenticationError):
        lists.check(certificate(folder, "edge-2"))
    with pytest.raises(AuthenticationError):
        lists.check(certificate(folder))


def test_a_servers_certificate_isnt_revoked_where_nobody_would_look(folder: Path) -> None:
    with pytest.raises(SettingsError, match="only servers look at the list"):
        revoke(folder, folder / "cloud.pem")


def test_another_certificate_of_the_same_name_is_good(folder: Path) -> None:
    before = certificate(folder)
    revoke(folder, folder / "edge-1.pem")
    issue(folder, "edge-1", days=7)
    lists = lists_of(folder)
    lists.check(certificate(folder))
    with pytest.raises(AuthenticationError):
        lists.check(before)
    issued = x509.load_pem_x509_certificate(certificate(folder))
    assert issued.not_valid_after_utc < datetime.now(UTC) + timedelta(days=8)
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(certificate(folder, "ca")))


def test_certificates_of_an_authority_without_a_list_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_AUTHORITY", "another CA")
    write_authority(tmp_path / "other", hosts=["x"], edges=["edge-1"])
    with pytest.raises(AuthenticationError, match="no revocation list"):
        lists_of(folder).check(certificate(tmp_path / "other"))
    with pytest.raises(AuthenticationError, match="can't be read"):
        lists_of(folder).check(b"nothing")


def signed(folder: Path, key: ec.EllipticCurvePrivateKey, until: timedelta) -> bytes:
    authority = x509.load_pem_x509_certificate(certificate(folder, "ca"))
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    made = builder.last_update(now - timedelta(days=9)).next_update(now + until).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


def own_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


BAD: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "another's": (lambda folder: signed(folder, ec.generate_private_key(ec.SECP256R1()), timedelta(days=9)), "signed"),
    "old": (lambda folder: signed(folder, own_key(folder), -timedelta(days=1)), "ended on"),
    "empty": (lambda folder: b"", "no revocation list"),
    "certificate": (certificate, "no revocation list"),
    "half": (lambda folder: signed(folder, own_key(folder), timedelta(days=9))[:200], "no revocation list"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_list_that_is_none(folder: Path, kind: str) -> None:
    make, why = BAD[kind]
    lists = lists_of(folder)
    revoke(folder, folder / "edge-1.pem")
    with pytest.raises(AuthenticationError):
        lists.check(certificate(folder))
    (folder / "crl.pem").write_bytes(make(folder))
    with pytest.raises(SettingsError, match=why):
        lists_of(folder)
    with pytest.raises(AuthenticationError):  # the last good one stays in force
        lists.check(certificate(folder))
    (folder / "crl.pem").unlink()
    with pytest.raises(AuthenticationError):
        lists.check(certificate(folder))


def test_a_list_needs_an_authority(folder: Path) -> None:
    with pytest.raises(SettingsError, match="tls_ca"):
        CloudSettings(tls_crl=str(folder / "crl.pem"))


def test_commands(folder: Path) -> None:
    def call(*arguments: str) -> str:
        done = CliRunner().invoke(certs_app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert "crl.pem" in call("--out", str(folder.parent / "made"), "--host", "x")
    call("issue", "edge-3", "--folder", str(folder), "--days", "30")
    lists = lists_of(folder)
    lists.check(certificate(folder, "edge-3"))
    assert "is revoked" in call("revoke", str(folder / "edge-3.pem"), "--folder", str(folder))
    with pytest.raises(AuthenticationError):
        lists.check(certificate(folder, "edge-3"))
    for wrong in (
        ["issue", "ca", "--folder", str(folder)],
        ["revoke", str(folder / "ca.key"), "--folder", str(folder)],
    ):
        with pytest.raises(SettingsError):
            CliRunner().invoke(certs_app, wrong, catch_exceptions=False)
