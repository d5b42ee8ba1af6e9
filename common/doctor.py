"""`doctor`: a list of checks, each with what was found and what to do; how it is shown, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum

import typer

from common.errors import EventSpecError, SettingsError
from common.printable import one_line

_MOST_TOLD = 300  # characters of an error that nobody expected


class State(str, Enum):
    """Of a check: a failure keeps a daemon from working, a warning from working well."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: its subject, what was found, and, unless all is well, what to do."""

    name: str
    state: State
    found: str
    todo: str = ""


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, State.OK, found)


def warning(name: str, found: str, todo: str) -> Check:
    """It works, but not well, or not for long."""
    return Check(name, State.WARNING, found, todo)


def failure(name: str, found: str, todo: str = "") -> Check:
    """It doesn't work."""
    return Check(name, State.FAILURE, found, todo)


def examined(checks: Iterable[tuple[str, Callable[[], Iterable[Check]]]]) -> Iterator[Check]:
    """Run each; an error of this project, or of the system, is a failure of that check and of no other."""
    for name, check in checks:
        try:
            yield from check()
        except EventSpecError as error:
            yield failure(name, str(error))
        except (OSError, ImportError) as error:
            yield failure(name, one_line(f"{type(error).__name__}: {error}"), "mend what the message names")
        except Exception as error:  # whatever a file or a peer comes up with: the other checks shall be made
            found = one_line(f"it couldn't be checked ({type(error).__name__}: {error})"[:_MOST_TOLD])
            yield failure(name, found, "look at what it is about; and tell eventspec's maintainers")


def as_text(check: Check) -> str:
    """One line, or two."""
    line = one_line(f"{check.state.value:<8} {check.name}: {check.found}")
    return f"{line}\n         -> {one_line(check.todo)}" if check.todo else line


def as_json(checks: Iterable[Check]) -> str:
    """One object: `ok`, and the checks."""
    listed = list(checks)
    rows = [{**asdict(check), "state": check.state.value} for check in listed]
    return json.dumps({"ok": status_of(listed) == 0, "checks": rows}, indent=1)


def status_of(checks: Iterable[Check]) -> int:
    """Exit status: 1 if something failed."""
    return int(any(check.state is State.FAILURE for check in checks))


def report(begin: Callable[[], Iterable[Check]], *, in_json: bool) -> int:
    """Print the checks that `begin` lists, each when it is done or all as one JSON object; returns the exit status.

    Settings that `begin` can't load are a failed check.
    """
    try:
        found = begin()
    except SettingsError as error:
        found = [failure("settings", str(error))]
    checks = []
    for check in found:
        checks.append(check)
        if not in_json:
            typer.echo(as_text(check))
    if in_json:
        typer.echo(as_json(checks))
    return status_of(checks)
