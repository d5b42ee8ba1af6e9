"""Tokens: what their file may hold, who comes in, and what is never shown."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access import (
    Scope,
    TokenBook,
    TokenEntry,
    bearer_token,
    new_token,
    parse_tokens,
    render_tokens,
    require_scope,
)
from common.door import Principal, host_of
from common.errors import AuthenticationError, AuthorizationError, SettingsError
from common.reach import Reaching
from common.security import Reach, Security, TlsFiles, is_local
from common.watched_file import WatchedFile, write_private

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9._@:-]{1,64}", fullmatch=True),
            st.sets(st.sampled_from(list(Scope))),
            st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
        ),
        max_size=5,
    )
)
def test_a_file_says_what_was_written(wanted: list[tuple[str, set[Scope], datetime | None]]) -> None:
    entries = [
        new_token(name, scopes, when.replace(tzinfo=UTC, microsecond=0) if when else None)[1]
        for name, scopes, when in wanted
    ]
    assert parse_tokens(render_tokens(entries)) == tuple(entries)


@given(st.text(max_size=200))
def test_nonsense_is_refused_as_such(text: str) -> None:
    try:
        parse_tokens(text)
    except SettingsError:
        return


GOOD = {"id": '"00112233"', "principal": '"edge"', "scopes": '["info"]', "sha256": f'"{"0" * 64}"'}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": '"x"'}, "id must match"),
        ({"principal": '""'}, "principal must match"),
        ({"principal": '"a b"'}, "principal must match"),
        ({"sha256": '"abc"'}, "sha256 must match"),
        ({"scopes": '"info"'}, "scopes must be a list"),
        ({"scopes": '["root"]'}, "there is no scope 'root'"),
        ({"expires": "2027-01-01T00:00:00"}, "with a zone"),
        ({"token": '"evs_secret"'}, "there is no field 'token'"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named(changes: dict[str, str], words: str) -> None:
    text = "[[token]]\n" + "\n".join(f"{name} = {value}" for name, value in {**GOOD, **changes}.items())
    with pytest.raises(SettingsError, match=f"token 1: .*{words}"):
        parse_tokens(text)


def test_one_token_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="twice"):
        parse_tokens(render_tokens([TokenEntry(i * 8, "a", frozenset(), "0" * 64) for i in "01"]))


def book(folder: Path, *entries: TokenEntry) -> TokenBook:
    path = folder / "tokens.toml"
    write_private(path, render_tokens(entries))
    return TokenBook(path)


def test_tokens_are_found_by_their_hash(tmp_path: Path) -> None:
    token, entry = new_token("edge-7", [Scope.SPECULATE])
    other, another = new_token("edge-7", [Scope.INFO])
    tokens = book(tmp_path, entry, another)
    assert tokens.entry(token) == entry
    assert tokens.entry(other) == another  # several are valid at a time
    for wrong in ("", token[:-1], token + "x", token.upper(), "x" * 10_000, "\udcff"):
        with pytest.raises(AuthenticationError, match="isn't known"):
            tokens.entry(wrong)
    require_scope(entry, Scope.SPECULATE)
    with pytest.raises(AuthorizationError, match="isn't for video"):
        require_scope(entry, Scope.VIDEO)


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    token, entry = new_token("edge", [Scope.INFO], NOW)
    tokens = book(tmp_path, entry)
    assert tokens.entry(token, NOW - timedelta(seconds=1)) == entry
    with pytest.raises(AuthenticationError, match="expired"):
        tokens.entry(token, NOW)


def test_the_file_holds_no_token_and_is_private(tmp_path: Path) -> None:
    token, entry = new_token("edge", [Scope.INFO])
    book(tmp_path, entry)
    path = tmp_path / "tokens.toml"
    assert token not in path.read_text()
    assert hashlib.sha256(token.encode()).hexdigest() in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in repr(entry)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.watched_file._LOOK_EVERY_S", 0.0)
    first, entry = new_token("edge", [Scope.INFO])
    second, later = new_token("edge", [Scope.INFO])
    tokens, path = book(tmp_path, entry), tmp_path / "tokens.toml"
    with pytest.raises(AuthenticationError):
        tokens.entry(second)
    write_private(path, render_tokens([entry, later]))
    assert (tokens.entry(first), tokens.entry(second)) == (entry, later)
    write_private(path, render_tokens([later]))
    with pytest.raises(AuthenticationError):
        tokens.entry(first)
    path.write_text("nonsense =")
    assert tokens.entry(second) == later, "a file that is broken leaves what was good"
    path.unlink()
    assert tokens.entry(second) == later
    write_private(path, "")
    with pytest.raises(AuthenticationError):
        tokens.entry(second)


def test_a_file_is_not_looked_at_for_every_call(tmp_path: Path) -> None:
    now = [100.0]
    path = tmp_path / "file"
    path.write_text("a")
    watched = WatchedFile(path, clock=lambda: now[0])
    assert watched.read_text() == "a"
    path.write_text("bb")
    assert watched.changed_text() is None
    now[0] += 1
    assert watched.changed_text() == "bb"
    now[0] += 1
    assert watched.changed_text() is None


@pytest.mark.parametrize(
    "metadata",
    [[], [("authorization", "Basic abc")], [("authorization", b"Bearer x")], [("authorization", "Bearer x")] * 2],
)
def test_calls_without_one_token(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(AuthenticationError, match="wants a token"):
        bearer_token(metadata)


def test_a_token_file_of_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.watched_file._LOOK_EVERY_S", 0.0)
    path = tmp_path / "edge.token"
    write_private(path, "evs_one\n")
    reaching = Reaching(Reach(token_file=str(path)))
    assert reaching.metadata() == (("authorization", "Bearer evs_one"),)
    assert "evs_one" not in repr(reaching)
    write_private(path, "evs_two\n")
    assert reaching.metadata() == (("authorization", "Bearer evs_two"),)
    path.unlink()
    assert reaching.metadata() == (("authorization", "Bearer evs_two"),)
    for bad in ("", "two words", "tök", "a\nb"):
        path.write_text(bad)
        with pytest.raises(SettingsError, match="one token and nothing else"):
            Reaching(Reach(token_file=str(path)))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("unix:/tmp/x.sock", True),
        ("127.0.0.1:0", True),
        ("127.9.9.9:1", True),
        ("[::1]:5", True),
        ("localhost:5", True),
        ("0.0.0.0:5", False),
        ("[::]:5", False),
        ("10.0.0.1:5", False),
        ("cloud.example:5", False),
        ("localhost.example:5", False),
    ],
)
def test_what_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_nothing_listens_beyond_this_machine_in_clear() -> None:
    Security().check("127.0.0.1:1")
    Security(insecure=True).check("0.0.0.0:1")
    Security(TlsFiles("a", "b")).check("0.0.0.0:1")
    with pytest.raises(SettingsError, match="--insecure"):
        Security().check("0.0.0.0:1")
    with pytest.raises(SettingsError, match="--insecure"):
        Security(tokens="file").check("0.0.0.0:1")
    with pytest.raises(SettingsError, match="go together"):
        Security(TlsFiles(cert="a")).check("127.0.0.1:1")
    with pytest.raises(SettingsError, match="tls_ca"):
        Security(TlsFiles(ca="a")).check("127.0.0.1:1")


def test_no_token_travels_in_clear() -> None:
    Reach(token_file="f").check("127.0.0.1:1")
    Reach(token_file="f", ca="system").check("cloud.example:1")
    Reach(token_file="f", insecure=True).check("cloud.example:1")
    Reach().check("cloud.example:1")
    with pytest.raises(SettingsError, match="unencrypted"):
        Reach(token_file="f").check("cloud.example:1")
    with pytest.raises(SettingsError, match="for TLS"):
        Reach(cert="c", key="k").check("cloud.example:1")


def test_ids_belong_to_whom_chose_them() -> None:
    alice, bob, nobody = Principal("alice"), Principal("bob"), Principal()
    assert nobody.scoped("session-0") == "session-0"
    assert len({p.scoped("session-0") for p in (alice, bob, nobody)}) == 3
    assert alice.scoped("session-0") == Principal("alice", "elsewhere").scoped("session-0")
    assert alice.scoped("") == ""
    assert 8 <= len(alice.scoped("x" * 64)) <= 64


def test_hosts_of_peers() -> None:
    assert host_of("ipv4:10.0.0.7:53422") == "10.0.0.7"
    assert host_of("ipv6:%5B::1%5D:5") == "::1"
    assert host_of("unix:/tmp/x") == "local"
    assert host_of("unix:") == "local"
    assert Principal("", "10.0.0.7").client != Principal("10.0.0.7").client


def test_a_private_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't write"):
        write_private(tmp_path / "no" / "file", "x")
    os.umask(os.umask(0o000))
    write_private(tmp_path / "file", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
