"""How often the drafter is right: a number, or what was measured and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Run, load_record
from benchmarks.simulation.cases import ByPosition
from common.errors import InputError


def read_acceptance(text: str) -> ByPosition:
    """The acceptance model that an option names.

    A number from 0 to 1 is the chance of every token (accepted runs are then geometric). A file may be a list of
    chances by answer position, an object with `acceptance` and `acceptance_by_position` (the figures of an evaluation,
    such as `common/tiny/figures.json`), or results of `compare`, `replay`, `capacity` or `simulate`.

    Raises:
        InputError: the number is out of range, or the file can't be read or has no acceptance in it.
    """
    try:
        rate = float(text)
    except ValueError:
        return _from_file(Path(text))
    return ByPosition((), _checked(rate, "--acceptance"))


def _from_file(path: Path) -> ByPosition:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--acceptance takes a number from 0 to 1 or a JSON file; {path}: {error}") from error
    if isinstance(values, dict) and "runs" in values:
        return ByPosition((), rate_of_runs(load_record(path).runs, str(path)))
    if isinstance(values, list):
        return _by_position(values, values[-1] if values else None, path)
    if isinstance(values, dict) and "acceptance_by_position" in values:
        return _from_figures(values, path)
    raise InputError(f"{path} has no acceptance: give a list of chances, an evaluation's figures, or results")


def _from_figures(values: Mapping[str, Any], path: Path) -> ByPosition:
    by_position = values["acceptance_by_position"]
    try:
        ordered = [by_position[str(index)] for index in range(len(by_position))]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: acceptance_by_position must name every position from 0 on") from error
    return _by_position(ordered, values.get("acceptance"), path)


def _by_position(rates: Iterable[Any], beyond: Any, path: Path) -> ByPosition:
    where = f"{path}: a chance"
    return ByPosition(tuple(_checked(rate, where) for rate in rates), _checked(beyond, where))


def _checked(rate: Any, where: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise InputError(f"{where} must be a number from 0 to 1, not {rate!r}")
    return float(rate)


def rate_of_runs(runs: Sequence[Run], where: str) -> float:
    """The chance of a token whose predecessors are all true, from counts by place within the checked drafts.

    A place is tried only where all places before it were accepted and the draft reached it. Drafts of one length are
    taken to fare like others of that length.

    Raises:
        InputError: nothing was drafted in these runs.
    """
    accepted, tried = 0.0, 0.0
    for run in runs:
        drafted = list(run.drafted_by_position)
        for place, (here, right) in enumerate(zip(drafted, run.accepted_by_position, strict=True)):
            survived = run.accepted_by_position[place - 1] * here / drafted[place - 1] if place else float(here)
            accepted += right
            tried += max(survived, float(right))
    if tried == 0:
        raise InputError(f"{where} has no run in which drafts were checked: give results of stream_to_cloud")
    return accepted / tried
