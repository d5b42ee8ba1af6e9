"""`eventspec-cloud doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from common.doctor import Check


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
    from common.doctor import report
    from common.settings import load_settings

    flags = {"model": model, "sessions": sessions, "insecure": insecure}

    def checks() -> Iterator[Check]:
        return examine(load_settings(CloudSettings, "cloud", file=config, environment=os.environ, flags=flags))

    raise typer.Exit(report(checks, in_json=as_json))
