"""Holds the simulation against replayed runs: the same questions, profile, link and clients; medians side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.link.profile import LinkProfile
from benchmarks.machine import model_facts
from benchmarks.results import Record, Run, load_record
from benchmarks.simulation.acceptance import rate_of_runs
from benchmarks.simulation.cases import ByPosition, Case
from benchmarks.simulation.choices import cases_of_runs
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.fleet import Arrivals, Deployment, Fleet, Outcome, Questions
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import ALL_MODES, MODES, Mode
from benchmarks.simulation.traces import shipped_tokens_per_frame, traced
from common.errors import InputError, SettingsError
from common.replay import StageTimes, load_profile
from common.shipped import shipped_drafter

FIGURES = ("ttft_ms", "tpot_ms", "total_ms", "target_passes")
TOLERANCE = 0.10
_SEEDS = 20  # where something is drawn: guesses that weren't traced, jitter, loss
_PAUSE_S = 1.0
_TOGETHER_S = 0.005  # in which `capacity` starts its clients; chance decides who comes first
_OVERRAN = (
    "In each a stage took longer than its profile says: the machine was too busy, or the profile is too fast for it; "
    "replay again, or with a slower profile"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one group of runs, replayed and simulated.

    `runs` are those compared. In `overran` runs a stage took this machine longer than the profile says: where a client
    asks alone they are left out.
    """

    label: str
    clients: int
    figure: str
    runs: int
    overran: int
    replayed: float
    simulated: float

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


def validate_file(path: Path, *, as_json: bool = False, controller: bool = False) -> int:
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


def compare(record: Record, where: str, *, controller: bool = False) -> list[Difference]:
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
    for (label, clients), group in sorted(
        groups.items(), key=lambda item: (list(ALL_MODES).index(item[0][0]), item[0][1])
    ):
        mode = replace(ALL_MODES[label], controller=controller and ALL_MODES[label].drafts)
        fleets = _simulate(mode, clients, group, cases, acceptance, times, record.meta)
        found = _differences(label, clients, group, fleets)
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


def _simulate(
    mode: Mode,
    clients: int,
    group: Sequence[Run],
    cases: Sequence[Case],
    acceptance: ByPosition,
    times: StageTimes,
    meta: Mapping[str, Any],
) -> list[Fleet]:
    """One fleet; several with other seeds where the drafter's guesses are drawn."""
    asked = {(run.clip, run.question) for run in group}
    chosen = [case for case in cases if (case.clip, case.question) in asked]
    on = Deployment(
        Costs(times, load_s=_load_s(group, times)),
        LinkFigures.of(_link(group)),
        slots=max(8, clients),
        shared_link=True,
        tokens_per_frame=shipped_tokens_per_frame(),
    )
    drawn = on.link.jitter or on.link.loss or not all(case.guesses for case in chosen)
    seeds = _SEEDS if drawn or _is_load(group) else 1
    arrivals, duration = Arrivals(think_s=_PAUSE_S, start_s=0.0, each=len(chosen)), 1e6
    if _is_load(group):
        arrivals, duration = Arrivals(think_s=0.0, start_s=_TOGETHER_S), float(meta["seconds"])
    fleets = [
        Fleet(on, mode, Questions(chosen, acceptance, in_turn=True), clients, arrivals, seed) for seed in range(seeds)
    ]
    for fleet in fleets:
        fleet.run(duration)
    return fleets


def _is_load(group: Sequence[Run]) -> bool:
    """True if these are runs of `capacity`: clients that ask without pauses for a while, over one link."""
    return "clients" in group[0].extra


def _load_s(group: Sequence[Run], times: StageTimes) -> float:
    """What reading (and, where no profile pads it, rasterising) took there: it isn't modelled, so it is measured."""
    names = ("load",) if times.drafter.rasterise_ms else ("load", "rasterise")
    ends = [[span["end_ms"] for span in run.stages if span["name"] in names] for run in group]
    return median(max(one, default=0.0) for one in ends) / 1e3


def _link(group: Sequence[Run]) -> LinkProfile | None:
    link = group[0].link
    if any(run.link != link for run in group):
        raise SettingsError("runs over different links in one file: validate them one by one")
    return LinkProfile.from_dict(link) if link else None


def _differences(label: str, clients: int, group: Sequence[Run], fleets: Sequence[Fleet]) -> list[Difference]:
    """Medians (of passes, which are few whole numbers, the mean) of what was replayed and what was simulated.

    Clients alone: each run that didn't overrun, and the simulated answer to the same question. Many clients: all
    answers on both sides, since which client's turn comes when is chance, and leaving runs out would leave out the long
    ones.
    """
    outcomes = [o for fleet in fleets for o in fleet.outcomes if not o.failure]
    overran = sum(bool(run.extra.get("replay_overruns")) for run in group)
    kept = group if _is_load(group) else [run for run in group if not run.extra.get("replay_overruns")]
    found = []
    for figure in FIGURES:
        replayed = {id(run): float(value) for run in kept if (value := getattr(run, figure)) is not None}
        if _is_load(group):
            simulated = _values(outcomes, figure)
        else:
            asked = [(run.clip, run.question) for run in kept if id(run) in replayed]
            simulated = [
                median(_values([o for o in outcomes if (o.case.clip, o.case.question) == one], figure)) for one in asked
            ]
        if replayed and simulated:
            middle = mean if figure == "target_passes" else median
            sides = middle(replayed.values()), middle(simulated)
            found.append(Difference(label, clients, figure, len(replayed), overran, *sides))
    return found


def _values(outcomes: Sequence[Outcome], figure: str) -> list[float]:
    values: list[Any] = [o.report[figure] for o in outcomes]
    return [float(value) for value in values if value is not None]
