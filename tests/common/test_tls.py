"""Certificates: which files are refused, with which words, and what a renewed one does to a running daemon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.certificates import write_authority
from common.errors import SettingsError
from common.security import SYSTEM, TlsFiles
from common.tls import load


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    write_authority(folder, hosts=["127.0.0.1", "cloud.example"], edges=["edge-1"])
    return folder


def files(folder: Path, cert: str = "cloud.pem", key: str = "cloud.key", ca: str = "") -> TlsFiles:
    return TlsFiles(str(folder / cert), str(folder / key), str(folder / ca) if ca else "")


def test_a_pair_fits(made: Path) -> None:
    pem = load(files(made, ca="ca.pem"))
    assert pem.cert == (made / "cloud.pem").read_bytes()
    assert pem.ca == (made / "ca.pem").read_bytes()
    assert "PRIVATE" not in repr(pem)
    assert load(TlsFiles(ca=SYSTEM)).ca is None
    assert all((made / f"{name}.key").stat().st_mode & 0o777 == 0o600 for name in ("ca", "cloud", "edge-1"))


@pytest.mark.parametrize(
    ("cert", "key", "ca", "words"),
    [
        ("cloud.pem", "edge-1.key", "", "isn't the one of the certificate"),
        ("cloud.key", "cloud.key", "", "no certificate in PEM"),
        ("cloud.pem", "cloud.pem", "", "no private key in PEM"),
        ("missing.pem", "cloud.key", "", "can't read"),
        ("cloud.pem", "missing.key", "", "can't read"),
        ("cloud.pem", "cloud.key", "cloud.key", "no certificate in PEM"),
    ],
)
def test_files_that_dont_fit(made: Path, cert: str, key: str, ca: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(files(made, cert, key, ca))


def test_dates(made: Path) -> None:
    now = datetime.now(UTC)
    with pytest.raises(SettingsError, match="expired on"):
        load(files(made), now + timedelta(days=366))
    with pytest.raises(SettingsError, match="isn't valid before"):
        load(files(made), now - timedelta(days=1))


def test_an_encrypted_key(made: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key((made / "cloud.key").read_bytes(), None)
    path = tmp_path / "cloud.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(SettingsError, match="without a passphrase"):
        load(TlsFiles(str(made / "cloud.pem"), str(path)))


def test_an_open_key_and_a_near_end_are_told(made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_authority(tmp_path, hosts=["x"], days=3)
    (tmp_path / "cloud.key").chmod(0o644)
    load(files(tmp_path))
    assert "chmod 600" in caplog.text
    assert "renew it in time" in caplog.text
    assert "PRIVATE" not in caplog.text


def test_nothing_is_overwritten(made: Path) -> None:
    before = (made / "cloud.key").read_bytes()
    with pytest.raises(SettingsError, match="is there already"):
        write_authority(made, hosts=["x"])
    assert (made / "cloud.key").read_bytes() == before
    for bad in ("ca", "../x", ""):
        with pytest.raises(SettingsError, match="can't name"):
            write_authority(made / "other", hosts=["x"], edges=[bad])
