"""`eventspec-cloud token` and `eventspec-cloud certs`: who may come in, and certificates to try TLS with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli import make_group, say

if TYPE_CHECKING:
    from common.access import TokenEntry

token_app = make_group("Tokens for edges: make new ones, list them, take them back. A daemon follows the file.")

_FILE = Annotated[Path, typer.Option(help="The daemon's token file.")]


@token_app.command("new")
def token_new(
    principal: Annotated[str, typer.Argument(help="Who it is for: sessions, clips and limits are this name's.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="speculate, video, info, admin, ask, files; several times. [the first three]"),
    ] = None,
    file: _FILE = Path("tokens.toml"),
    out: Annotated[
        Path | None, typer.Option(help="Where the token itself goes, mode 0600. [the standard output]")
    ] = None,
    days: Annotated[float, typer.Option(help="Days until it expires; 0: never.")] = 0.0,
) -> None:
    """Make a token and add its hash to the file. The old ones stay valid: hand the new one out, then `token revoke`."""
    from datetime import UTC, datetime, timedelta

    from common.access import Scope, new_token, parse_scopes, render_tokens
    from common.errors import SettingsError
    from common.watched_file import write_private

    entries = _entries(file) if file.exists() else ()
    if not 0 <= days <= 36_500:
        raise SettingsError(f"days must be between 0 and 36500, not {days}")
    scopes = parse_scopes(scope or (Scope.SPECULATE.value, Scope.VIDEO.value, Scope.INFO.value))
    expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0) if days else None
    token, entry = new_token(principal, scopes, expires)
    if out is not None:
        write_private(out, token + "\n")
    write_private(file, render_tokens([*entries, entry]))
    if out is None:
        typer.echo(token)
    where = f"in {out}" if out is not None else "on the standard output"
    say(f"token {entry.id} of {principal}: {where}; its hash is in {file}", err=True)


@token_app.command("list")
def token_list(file: _FILE = Path("tokens.toml")) -> None:
    """What tokens there are: id, principal, scopes, expiry. Never the tokens: the file doesn't have them."""
    for entry in _entries(file):
        scopes = ",".join(sorted(scope.value for scope in entry.scopes))
        until = f"{entry.expires:%Y-%m-%d %H:%M}" if entry.expires is not None else "never"
        say(f"{entry.id}  {entry.principal:<24}  {scopes:<28}  expires {until}")


@token_app.command("revoke")
def token_revoke(
    id: Annotated[str, typer.Argument(help="Of the token, as `token list` shows it.")],  # noqa: A002
    file: _FILE = Path("tokens.toml"),
) -> None:
    """Take a token back: a daemon refuses new calls with it within a second, its streams end within two."""
    from common.access import render_tokens
    from common.errors import SettingsError
    from common.watched_file import write_private

    entries = _entries(file)
    kept = [entry for entry in entries if entry.id != id]
    if len(kept) == len(entries):
        raise SettingsError(f"there is no token {id} in {file}; `eventspec-cloud token list` shows them")
    write_private(file, render_tokens(kept))
    say(f"token {id} is revoked", err=True)


def _entries(file: Path) -> tuple[TokenEntry, ...]:
    from common.access import parse_tokens
    from common.watched_file import WatchedFile

    return parse_tokens(WatchedFile(file).read_text(), str(file))


certs_app = typer.Typer(
    help="A small certificate authority: to try TLS, or for a closed pair. Without a command it is made.",
    rich_markup_mode=None,
)


@certs_app.callback(invoke_without_command=True)
def certs(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the files; must not hold any of them yet.")] = Path("certs"),
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address at which edges reach the cloud; several times.")
    ] = None,
    edge: Annotated[list[str] | None, typer.Option(help="Name of an edge, for mutual TLS; several times.")] = None,
    days: Annotated[int, typer.Option(help="Validity of the certificates.")] = 365,
) -> None:
    """Make a small certificate authority with certificates for a cloud and its edges: to try TLS, or for a closed pair.

    Writes ca.pem, ca.key, cloud.pem, cloud.key, EDGE.pem and EDGE.key for each edge, and crl.pem, the list of revoked
    ones. Keep ca.key off the daemons.
    """
    from common.certificates import write_authority

    if context.invoked_subcommand is None:
        for path in write_authority(out, hosts=host or ["localhost", "127.0.0.1"], edges=edge or [], days=days):
            say(str(path))


_AUTHORITY = Annotated[Path, typer.Option(help="Folder with ca.pem, ca.key and crl.pem.")]


@certs_app.command("issue")
def certs_issue(
    edge: Annotated[str, typer.Argument(help="Name of the edge.")],
    folder: _AUTHORITY = Path("certs"),
    days: Annotated[int, typer.Option(help="Validity; a short one is a revocation that can't be forgotten.")] = 365,
) -> None:
    """Make a certificate for another edge, or a new one for an edge whose own ends."""
    from common.certificates import issue

    for path in issue(folder, edge, days=days):
        say(str(path))


@certs_app.command("revoke")
def certs_revoke(
    certificate: Annotated[Path, typer.Argument(help="The certificate's file, such as certs/EDGE.pem.")],
    folder: _AUTHORITY = Path("certs"),
) -> None:
    """Revoke a client certificate: a daemon with --tls-crl refuses it within a second, its streams end within two."""
    from common.certificates import revoke

    say(f"{certificate} is revoked; the list is {revoke(folder, certificate)}", err=True)
