"""What the flags of `simulate` choose: modes, fleets, questions, arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.results import Run, load_record
from benchmarks.simulation.acceptance import rate_of_runs, read_acceptance
from benchmarks.simulation.cases import ByPosition, Case
from benchmarks.simulation.fleet import Arrivals, Deployment, Questions
from benchmarks.simulation.modes import ALL_MODES, MODES, Mode
from benchmarks.simulation.running import made_up_cases
from common.errors import InputError, SettingsError
from common.shipped import shipped_clips

_MOST_CLIENTS = 100_000


def modes_of(
    names: Sequence[str] | None, draft_length: int, patience_ms: int, controller: bool, branches: int = 0
) -> list[Mode]:
    """The modes of these names; a paradigm's name means all its modes but `tokens-auto`, as does no name at all.

    Raises:
        SettingsError: there is no such paradigm here.
    """
    for name in names or ():
        if name not in ALL_MODES and name not in {mode.paradigm for mode in MODES.values()}:
            raise SettingsError(f"{name} isn't simulated; there are {', '.join(ALL_MODES)}")
    chosen = [
        mode
        for label, mode in ALL_MODES.items()
        if label in (names or ()) or (label in MODES and (not names or mode.paradigm in names))
    ]
    return [
        replace(
            mode,
            draft_length=draft_length,
            patience_ms=patience_ms,
            branches=branches if mode.drafts else 0,
            controller=mode.controller or (controller and mode.drafts),
        )
        for mode in chosen
    ]


def client_counts(text: str) -> list[int]:
    """`1,10,100` as numbers.

    Raises:
        SettingsError: one isn't a number of clients.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise SettingsError(f"--clients takes numbers with commas between them, not {text!r}") from error
    if not all(1 <= count <= _MOST_CLIENTS for count in counts):
        raise SettingsError(f"--clients must be from 1 to {_MOST_CLIENTS:,}, not {text}")
    return counts


def arrivals_of(think_s: float, per_min: float | None, start_s: float) -> Arrivals:
    """When clients ask; they begin spread over `start_s`, or over their pause where that is longer.

    Raises:
        SettingsError: a pause or a rate that makes no sense.
    """
    if think_s < 0 or (per_min is not None and per_min <= 0):
        raise SettingsError("--think can't be negative, and --rate must be positive")
    return Arrivals(think_s, per_min / 60 if per_min is not None else None, max(start_s, think_s))


def questions_of(
    acceptance: str, like: Path | None, deployment: Deployment, tokens: int, video_bytes: int, seed: int
) -> Questions:
    """What is asked: made up, or as in results.

    Raises:
        InputError: a file can't be read, or has nothing to ask in it.
    """
    if like is not None:
        runs = load_record(like).runs
        rates = read_acceptance(acceptance) if acceptance else ByPosition((), rate_of_runs(runs, str(like)))
        return Questions(cases_of_runs(runs, str(like)), rates)
    rates = read_acceptance(acceptance or str(shipped_clips().parent / "figures.json"))
    return Questions(made_up_cases(deployment, tokens, video_bytes, seed), rates)


def cases_of_runs(runs: Sequence[Run], where: str) -> list[Case]:
    """The questions of lossless runs, each once, with the answers that they got.

    Raises:
        InputError: there is none.
    """
    found: dict[tuple[str, str], Case] = {}
    for run in runs:
        if run.lossless and run.token_ids and run.uplink_bytes.get("video"):
            case = Case(run.clip, run.question, tuple(run.token_ids), run.uplink_bytes["video"])
            found.setdefault((run.clip, run.question), case)
    if not found:
        raise InputError(f"{where} has no verified answers about a video in it")
    return list(found.values())
