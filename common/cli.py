"""What the four commands have in common: how help looks, how lines are printed, and how errors end."""

from __future__ import annotations

import sys

import typer
import typer.core

from common.errors import EventSpecError
from common.printable import one_line

# Plain help: at once on the screen, the same in a pipe, and square brackets mean what they say.
typer.core.HAS_RICH = False


def make_app(text: str) -> typer.Typer:
    """A command with subcommands; `text` is the first paragraph of its help."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def say(text: str, *, err: bool = False) -> None:
    """Print one line, on standard output or standard error; what a peer or a file chose can't break out of it."""
    typer.echo(one_line(text), err=err)


def run_app(app: typer.Typer, name: str) -> None:
    """Run a command; errors that are the user's to mend end in one line on standard error and status 2."""
    try:
        app()
    except EventSpecError as error:
        say(f"{name}: {error}", err=True)
        sys.exit(2)
