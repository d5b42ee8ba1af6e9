"""`eventspec-edge doctor`."""

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
    cloud: Annotated[str | None, typer.Option(help="As of `serve`.")] = None,
    model: Annotated[str | None, typer.Option(help="As of `serve`.")] = None,
    cloud_ca: Annotated[str | None, typer.Option(help="As of `serve`.")] = None,
    token_file: Annotated[str | None, typer.Option(help="As of `serve`.")] = None,
    insecure: Annotated[bool | None, typer.Option("--insecure", help="As of `serve`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check machine, drafter, settings, certificates, and the way to the cloud; say what to do. Status 1: a failure.

    Settings come from where `serve` takes them: the file, EVENTSPEC_EDGE_... variables, these flags. Harmless beside a
    running daemon; to the cloud go a few small calls and 256 KiB.
    """
    from common.doctor import report
    from common.settings import load_settings
    from edge.config import EdgeSettings
    from edge.doctor import examine

    flags = {"cloud": cloud, "model": model, "cloud_ca": cloud_ca, "token_file": token_file, "insecure": insecure}

    def checks() -> Iterator[Check]:
        return examine(load_settings(EdgeSettings, "edge", file=config, environment=os.environ, flags=flags))

    raise typer.Exit(report(checks, in_json=as_json))
