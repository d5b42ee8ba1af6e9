"""`doctor` as a command: it takes what `serve` takes, so that what is checked is what would be started."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from common.doctor import Check

S = TypeVar("S")
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def doctor_command(
    serve: Callable[..., None],
    table: str,
    load: Callable[[], tuple[type[S], Callable[[S], Iterable[Check]]]],
    text: str,
) -> Callable[..., None]:
    """The command `doctor` with all options of the command `serve`, but `--verbose`.

    Args:
        serve: the command's function.
        table: of the settings, `cloud` or `edge`.
        load: the class of the settings, and the checks; called when the command runs, for help shall be quick.
        text: the help.
    """

    def doctor(**given: Any) -> None:
        from common.doctor import report
        from common.settings import load_settings

        as_json, config = bool(given.pop("as_json")), given.pop("config")
        kind, examine = load()

        def checks() -> Iterable[Check]:
            return examine(load_settings(kind, table, file=config, environment=os.environ, flags=given))

        raise typer.Exit(report(checks, in_json=as_json))

    signature = inspect.signature(serve, eval_str=True)
    kept = [one for name, one in signature.parameters.items() if name != "verbose"]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    kept.append(inspect.Parameter("as_json", kind, default=False, annotation=JsonOption))
    doctor.__dict__["__signature__"] = signature.replace(parameters=kept)
    doctor.__annotations__ = {one.name: one.annotation for one in kept}
    doctor.__doc__ = text
    return doctor
