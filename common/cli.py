"""What the four commands have in common: how help looks, how lines are printed, and how errors end."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from common.errors import EventSpecError
from common.extras import missing
from common.printable import escape_tracebacks, one_line

_LOOK: dict[str, Any] = {
    "no_args_is_help": True,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "suggest_commands": False,  # click suggests by itself
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
_OWN = ("common", "edge", "cloud", "training", "benchmarks", "eventspec")
_CANT_WRITE = (errno.ENOSPC, errno.EBADF, errno.EIO, errno.EDQUOT)

# Plain help: at once on the screen, the same in a pipe, and square brackets mean what they say.
typer.core.HAS_RICH = False


def make_app(text: str) -> typer.Typer:
    """A command with subcommands, `--version` and shell completion; `text` is the first paragraph of its help."""
    app = typer.Typer(help=text, add_completion=True, **_LOOK)
    app.callback()(_root)
    return app


def make_group(text: str) -> typer.Typer:
    """Subcommands of a subcommand."""
    return typer.Typer(help=text, add_completion=False, **_LOOK)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"eventspec {version('eventspec')}")
        raise typer.Exit


def _root(
    told: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def say(text: str, *, err: bool = False) -> None:
    """Print one line, on standard output or standard error; what a peer or a file chose can't break out of it."""
    typer.echo(one_line(text), err=err)


def run_app(app: typer.Typer, name: str) -> None:
    """Run a command; errors that are the user's to mend end in one line on standard error and status 2."""
    _set_up_output()
    escape_tracebacks()
    try:
        _run(app)
    except EventSpecError as error:
        _end(f"{name}: {error}")
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if not module or module in _OWN:
            raise
        _end(f"{name}: {missing(module, name)}")
    except BrokenPipeError:  # whoever read the output has seen enough
        _forget_output()
        sys.exit(1)
    except OSError as error:
        if error.filename is not None or error.errno not in _CANT_WRITE:
            raise
        _forget_output()
        _end(f"{name}: standard output can't be written ({error.strerror})", status=1)


def _run(app: typer.Typer) -> None:
    try:
        app()
    finally:
        sys.stdout.flush()  # or a full disk would be heard of too late


def _set_up_output() -> None:
    """A closed output is one that can't be written, and characters that a terminal can't show are spelled."""
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(_Closed(), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  (it stays open)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Closed(io.RawIOBase):
    """Where standard output was closed before the start."""

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(errno.EBADF, "it is closed")


def _forget_output() -> None:
    """What can't be written isn't tried again at the interpreter's end."""
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (it stays open)


def _end(text: str, status: int = 2) -> None:
    say(text, err=True)
    sys.exit(status)
