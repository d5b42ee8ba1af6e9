"""`eventspec-cloud doctor`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    config: Annotated[Path | None, typer.Option(help="The daemon's TOML file.")] = None,
    model: Annotated[str | None, typer.Option(help="As of `serve`.")] = None,
    sessions: Annotated[int | None, typer.Option(help="As of `serve`.")] = None,
    insecure: Annotated[bool | None, typer.Option("--insecure", help="As of `serve`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check machine, target, settings, ports, certificates and tokens; say what to do. Status 1: a failure.

    Settings come from where `serve` takes them: the file, EVENTSPEC_CLOUD_... variables, these flags. Harmless beside a
    running daemon: nothing is loaded but settings.
    """
    from cloud.config import CloudSettings
    from cloud.doctor import examine
    from common import doctor as shown
    from common.errors import SettingsError
    from common.settings import load_settings

    flags = {"model": model, "sessions": sessions, "insecure": insecure}
    checks = []
    try:
        found = examine(load_settings(CloudSettings, "cloud", file=config, environment=os.environ, flags=flags))
    except SettingsError as error:
        found = iter([shown.failure("settings", str(error))])
    for check in found:
        checks.append(check)
        if not as_json:
            typer.echo(shown.as_text(check))
    if as_json:
        typer.echo(shown.as_json(checks))
    raise typer.Exit(shown.status_of(checks))
