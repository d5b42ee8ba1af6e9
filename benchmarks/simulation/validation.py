"""Holds the simulation against replayed runs: the same questions, profile, link and clients; medians side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import model_facts
from benchmarks.results import Record, Run, load_record
from benchmarks.simulation.acceptance import rate_of_runs
from benchmarks.simulation.cases import ByPosition, Case
from benchmarks.simulation.choices import cases_of_runs
from benchmarks.simulation.fleet import Fleet, Outcome
from benchmarks.simulation.modes import ALL_MODES, MODES
from benchmarks.simulation.replaying import Group
from benchmarks.simulation.traces import traced
from common.errors import InputError
from common.replay import StageTimes, load_profile
from common.shipped import shipped_drafter

PASSES = "passes/token"
FIGURES = ("ttft_ms", "tpot_ms", "total_ms", PASSES)
TOLERANCE = 0.10
_OVERRAN = (
    "In each a stage took longer than its profile says: the machine was too busy, or the profile is too fast for it; "
    "replay again, or with a slower profile"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one group of runs, replayed and simulated.

    `runs` are those compared. In `overran` runs a stage took this machine longer than the profile says: where a client
    asks alone they are left out. `chance` is where the replayed median may lie by chance alone: its 95 % interval, by
    the ranks of the runs; None where there is none (few runs, or no median).
    """

    label: str
    clients: int
    figure: str
    runs: int
    overran: int
    replayed: float
    simulated: float
    chance: tuple[float, float] | None = None

    @property
    def off(self) -> float:
        """Relative difference."""
        return (self.simulated - self.replayed) / self.replayed if self.replayed else 0.0

    @property
    def within(self) -> bool:
        """True if it is small enough."""
        return abs(self.off) <= TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "off": round(self.off, 4), "within": self.within}


def validate_file(path: Path, *, as_json: bool = False, controller: bool = True) -> int:
    """Compare, print a table, return a status: 1 if a figure is off by more than the tolerance, or none is left.

    `controller` says that the edges chose their drafts by the controller.

    Raises:
        InputError: the file can't be read, or has no replayed runs of a simulated paradigm.
    """
    from benchmarks.simulation.table import print_differences

    record = load_record(path)
    differences = compare(record, str(path), controller=controller)
    if as_json:
        print(json.dumps({"tolerance": TOLERANCE, "differences": [one.as_dict() for one in differences]}))
    else:
        print_differences(differences, record.meta, TOLERANCE)
    return 0 if all(one.within for one in differences) else 1


def compare(record: Record, where: str, *, controller: bool = True) -> list[Difference]:
    """Every figure of every paradigm, mode and client count.

    Raises:
        InputError: nothing in the record can be compared.
    """
    runs = [run for run in record.runs if run.label in ALL_MODES and run.replayed]
    if not runs:
        raise InputError(f"{where} has no replayed runs of {', '.join(MODES)}: make it with `replay`")
    times = _times(record, runs)
    cases = _cases(record, runs, where)
    drafting = [run for run in runs if run.drafted]
    acceptance = ByPosition((), rate_of_runs(drafting, where) if drafting else 0.0)
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.label, int(run.extra.get("clients", 1))), []).append(run)
    differences = []
    for label, clients in sorted(groups, key=lambda key: (list(ALL_MODES).index(key[0]), key[1])):
        mode = replace(ALL_MODES[label], controller=controller and ALL_MODES[label].drafts)
        group = Group(mode, clients, groups[label, clients], cases, acceptance, times, record.meta)
        found = _differences(group, group.simulate())
        if not found:
            raise InputError(f"{where}: of {label} with {clients} clients no run is left. {_OVERRAN}")
        differences += found
    return differences


def _times(record: Record, runs: Sequence[Run]) -> StageTimes:
    layout = record.meta.get("layout") or {}
    name = str(layout.get("replay") or runs[0].replayed)
    if any(run.replayed != runs[0].replayed for run in runs):
        raise InputError("runs of different replay profiles in one file: validate them one by one")
    return load_profile(name)


def _cases(record: Record, runs: Sequence[Run], where: str) -> list[Case]:
    """The questions in the order in which they were asked, with traces of clip and drafter.

    Those only where the drafter was the shipped one, and the clips are.
    """
    cases = cases_of_runs(runs, where)
    asked = [tuple(one) for one in (record.meta.get("plan") or {}).get("questions", ())]
    if asked:
        cases.sort(key=lambda case: asked.index((case.clip, case.question)))
    drafter = (record.meta.get("models") or {}).get("drafter") or {}
    if drafter.get("fingerprint") == model_facts(shipped_drafter())["fingerprint"]:
        return traced(cases)
    return cases


def _differences(group: Group, fleets: Sequence[Fleet]) -> list[Difference]:
    """Medians of what was replayed and what was simulated; of passes all over all tokens.

    A client alone: each run that didn't overrun, and the simulated answer to the same turn. Several: all answers on
    both sides, since whose turn comes when is chance, and leaving runs out would leave out the long ones.
    """
    kept = group.runs if group.several else [run for run in group.runs if not run.extra.get("replay_overruns")]
    real = [{**asdict(run), "tokens": len(run.token_ids)} for run in kept]
    if group.several:
        model = [_report(o) for fleet in fleets for o in fleet.outcomes if not o.failure]
    else:
        model = [_of_turn(group.turn_of(run), fleets) for run in kept]
    overran = sum(bool(run.extra.get("replay_overruns")) for run in group.runs)
    found = []
    for figure in FIGURES:
        sides = [_middle(reports, figure) for reports in (real, model)]
        if sides[0] is not None and sides[1] is not None:
            values = [] if figure == PASSES else [float(r[figure]) for r in real if r[figure] is not None]
            of = (group.mode.label, group.clients, figure, len(kept), overran, sides[0], sides[1])
            found.append(Difference(*of, median_interval(values)))
    return found


def _report(outcome: Outcome) -> dict[str, Any]:
    return {**outcome.report, "tokens": len(outcome.token_ids)}


def _of_turn(turn: int, fleets: Sequence[Fleet]) -> dict[str, Any]:
    """The medians, over the seeds, of one turn's figures."""
    reports = [_report(o) for fleet in fleets for o in fleet.outcomes if o.number == turn and not o.failure]
    names = ("tokens", "target_passes", *FIGURES[:-1])
    values = {name: [r[name] for r in reports if r[name] is not None] for name in names}
    return {name: median(known) if known else None for name, known in values.items()}


def _middle(reports: Sequence[Mapping[str, Any]], figure: str) -> float | None:
    if figure == PASSES:
        tokens = sum(report["tokens"] for report in reports)
        return sum(report["target_passes"] for report in reports) / tokens if tokens else None
    known = [float(value) for report in reports if (value := report[figure]) is not None]
    return median(known) if known else None


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """A 95 % interval of the median, free of any distribution: between two ranks; None for fewer than six values."""
    n, ordered = len(values), sorted(values)
    below, rank = 0.5**n, 0
    while below + math.comb(n, rank + 1) * 0.5**n <= 0.025:
        rank += 1
        below += math.comb(n, rank) * 0.5**n
    return (ordered[rank], ordered[n - 1 - rank]) if n >= 6 else None
