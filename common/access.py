"""Who may do what: bearer tokens with scopes, kept as hashes in a file that is read again when it changes.

The file is TOML. Several tokens of one principal may be valid at a time, so that a new one can be handed out before the
old one goes:

    [[token]]
    id = "3f9a01c2"
    principal = "edge-7"
    scopes = ["speculate", "video", "info"]
    sha256 = "..."
    expires = 2027-01-01T00:00:00Z

A token is 256 random bits, so a plain hash of it can't be searched for. Entries are found by it: what a guess's time
tells of a hash is of no use to who must find bytes that hash to it, and a guess costs the same among 10,000 tokens.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from common.errors import AuthenticationError, AuthorizationError, SettingsError
from common.watched_file import WatchedFile

log = logging.getLogger("eventspec.access")

AUTHORIZATION = "authorization"
_BEARER = "bearer "
_PREFIX = "evs_"
_NAME = re.compile(r"[A-Za-z0-9._@:-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{8}")
_FIELDS = {"id", "principal", "scopes", "sha256", "expires"}
_MAX_TOKEN = 256
_MAX_ENTRIES = 10_000


class Scope(Enum):
    """What a token may be for."""

    SPECULATE = "speculate"  # ask the cloud for answers
    VIDEO = "video"  # send it video
    INFO = "info"  # ask either daemon what it is
    ADMIN = "admin"  # change how a daemon runs
    ASK = "ask"  # ask an edge daemon questions, about what it watches
    FILES = "files"  # name files, devices and addresses to an edge daemon


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One token, as the file has it: its hash, never itself."""

    id: str
    principal: str
    scopes: frozenset[Scope]
    sha256: str
    expires: datetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """False once it has expired."""
        return self.expires is None or now < self.expires


def parse_tokens(text: str, where: str = "the token file") -> tuple[TokenEntry, ...]:
    """The entries of a token file.

    Raises:
        SettingsError: naming the entry that makes no sense.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{where} isn't valid TOML: {error}") from error
    tables = content.get("token", [])
    if set(content) - {"token"} or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise SettingsError(f"{where} may hold [[token]] tables and nothing else")
    if len(tables) > _MAX_ENTRIES:
        raise SettingsError(f"{where} has {len(tables):,} tokens, at most {_MAX_ENTRIES:,} are taken")
    entries = tuple(_entry(table, f"{where}, token {number}") for number, table in enumerate(tables, start=1))
    if len({entry.sha256 for entry in entries}) < len(entries):
        raise SettingsError(f"{where} has one token twice: remove one of them")
    return entries


def _entry(table: dict[str, Any], where: str) -> TokenEntry:
    unknown = sorted(set(table) - _FIELDS)
    if unknown:
        raise SettingsError(f"{where}: there is no field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    for name, pattern in (("id", _ID), ("principal", _NAME), ("sha256", _HASH)):
        value = table.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise SettingsError(f"{where}: {name} must match {pattern.pattern}")
    scopes, expires = table.get("scopes"), table.get("expires")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise SettingsError(f"{where}: scopes must be a list of {', '.join(s.value for s in Scope)}")
    fine = isinstance(expires, datetime) and expires.tzinfo is not None and 2000 <= expires.year < 9999
    if expires is not None and not fine:
        raise SettingsError(f"{where}: expires must be a date and time with a zone, such as 2027-01-01T00:00:00Z")
    return TokenEntry(table["id"], table["principal"], parse_scopes(scopes, where), table["sha256"], expires)


def parse_scopes(names: Iterable[str], where: str = "scopes") -> frozenset[Scope]:
    """Scopes by their names. Raises SettingsError for one that doesn't exist."""
    known = {scope.value: scope for scope in Scope}
    for name in names:
        if name not in known:
            raise SettingsError(f"{where}: there is no scope {name[:40]!r}; known are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def render_tokens(entries: Sequence[TokenEntry]) -> str:
    """The text of a token file."""
    return "\n".join(_rendered(entry) for entry in entries)


def _rendered(entry: TokenEntry) -> str:
    scopes = ", ".join(f'"{name}"' for name in sorted(scope.value for scope in entry.scopes))
    lines = [
        "[[token]]",
        f'id = "{entry.id}"',
        f'principal = "{entry.principal}"',
        f"scopes = [{scopes}]",
        f'sha256 = "{entry.sha256}"',
    ]
    if entry.expires is not None:
        lines.append(f"expires = {entry.expires.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}")
    return "\n".join(lines) + "\n"


def new_token(principal: str, scopes: Iterable[Scope], expires: datetime | None = None) -> tuple[str, TokenEntry]:
    """A fresh token, and its entry. Raises SettingsError if the principal's name makes no sense."""
    if not _NAME.fullmatch(principal):
        raise SettingsError(f"a principal's name must match {_NAME.pattern}, not {principal[:80]!r}")
    token = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, TokenEntry(secrets.token_hex(4), principal, frozenset(scopes), digest, expires)


class TokenBook:
    """The tokens of a file, as it is now. A file that can't be read any more leaves the last good ones in force."""

    def __init__(self, path: str | Path) -> None:
        """Read the file.

        Raises:
            SettingsError: it can't be read, or makes no sense.
        """
        self._file = WatchedFile(Path(path))
        self._entries = _by_hash(parse_tokens(self._file.read_text(), str(path)))
        self._version = 0

    @property
    def version(self) -> int:
        """Grows each time that the file is read again."""
        self._refreshed()
        return self._version

    def __len__(self) -> int:
        return len(self._refreshed())

    def entry(self, token: str, now: datetime | None = None) -> TokenEntry:
        """The entry of a token.

        Raises:
            AuthenticationError: it isn't known, or has expired.
        """
        digest = hashlib.sha256(token[:_MAX_TOKEN].encode("utf-8", "surrogateescape")).hexdigest()
        found = self._refreshed().get(digest)
        if found is None or len(token) > _MAX_TOKEN:
            raise AuthenticationError("this token isn't known here: ask the daemon's operator for another")
        if not found.valid_at(now or datetime.now(UTC)):
            raise AuthenticationError(f"the token {found.id} has expired: ask the daemon's operator for another")
        return found

    def _refreshed(self) -> dict[str, TokenEntry]:
        try:
            text = self._file.changed_text()
            if text is not None:
                self._entries = _by_hash(parse_tokens(text, str(self._file.path)))
                self._version += 1
                log.info("read %d tokens again", len(self._entries))
        except SettingsError as error:
            log.warning("%s; the tokens read before stay in force", error)
        return self._entries


def _by_hash(entries: Iterable[TokenEntry]) -> dict[str, TokenEntry]:
    return {entry.sha256: entry for entry in entries}


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token in a call's metadata.

    Raises:
        AuthenticationError: there is none, or more than one.
    """
    values = [value for key, value in metadata if key == AUTHORIZATION]
    if len(values) != 1 or not isinstance(values[0], str) or not values[0].lower().startswith(_BEARER):
        raise AuthenticationError("this daemon wants a token: give --token-file FILE")
    return values[0][len(_BEARER) :].strip()


def require_scope(entry: TokenEntry, scope: Scope) -> None:
    """Raise AuthorizationError unless the token is for this."""
    if scope not in entry.scopes:
        raise AuthorizationError(f"the token {entry.id} isn't for {scope.value}: ask the operator for one that is")
