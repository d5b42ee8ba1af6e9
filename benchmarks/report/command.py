"""`eventspec-bench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.errors import InputError


def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="FILE_OR_FOLDER...", help="Results: files of --json, folders of sweep.")
    ],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    png: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write every picture there as PNG, too.")] = None,
) -> None:
    """Show results as one HTML file that needs no network: tables, pictures, and where stream-to-cloud loses."""
    from benchmarks.report.contents import contents_of
    from benchmarks.report.page import write_report
    from benchmarks.report.sources import read_sources

    contents = contents_of(read_sources(results))
    try:
        write_report(contents, out, png)
    except OSError as error:
        raise InputError(f"the report can't be written: {error}") from error
    typer.echo(f"{out}: {len(contents.pictures)} pictures, {out.stat().st_size / 1e6:.1f} MB")
    if png is not None:
        typer.echo(f"{png}: the pictures as PNG")
