"""Whether a stream would still be let in: revoked, expired, narrowed and rotated tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.access import Scope, TokenBook, TokenEntry, new_token, render_tokens
from common.errors import AuthenticationError, AuthorizationError, RevokedError
from common.standing import Standing


@pytest.fixture(autouse=True)
def _looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.watched_file._LOOK_EVERY_S", 0.0)


def written(path: Path, *entries: TokenEntry) -> Path:
    path.write_text(render_tokens(list(entries)))
    return path


def test_without_tokens_everybody_stays() -> None:
    Standing().check()


def test_a_revoked_token(tmp_path: Path) -> None:
    token, entry = new_token("edge", [Scope.SPECULATE])
    _, another = new_token("edge", [Scope.SPECULATE])
    book = TokenBook(written(tmp_path / "tokens", entry))
    standing = Standing(book, token, Scope.SPECULATE)
    written(tmp_path / "tokens", entry, another)
    standing.check()
    written(tmp_path / "tokens", another)
    with pytest.raises(RevokedError):
        standing.check()
    with pytest.raises(AuthenticationError):
        Standing(book, token, Scope.SPECULATE)


def test_a_token_that_lost_its_scope(tmp_path: Path) -> None:
    token, entry = new_token("edge", [Scope.SPECULATE, Scope.INFO])
    book = TokenBook(written(tmp_path / "tokens", entry))
    standing = Standing(book, token, Scope.SPECULATE)
    written(tmp_path / "tokens", TokenEntry(entry.id, "edge", frozenset([Scope.INFO]), entry.sha256))
    with pytest.raises(RevokedError):
        standing.check()
    with pytest.raises(AuthorizationError):
        Standing(book, token, Scope.SPECULATE)


def test_an_expired_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, entry = new_token("edge", [Scope.SPECULATE], datetime.now(UTC) + timedelta(hours=1))
    standing = Standing(TokenBook(written(tmp_path / "tokens", entry)), token, Scope.SPECULATE)
    standing.check()

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2100, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("common.standing.datetime", Later)
    monkeypatch.setattr("common.access.datetime", Later)
    with pytest.raises(RevokedError):
        standing.check()
