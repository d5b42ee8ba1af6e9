"""Holds the simulation against replayed runs: the same questions, profile, link and clients; medians side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.link.profile import LinkProfile
from benchmarks.machine import model_facts
from benchmarks.results import Record, Run, load_record
from benchmarks.simulation.acceptance import rate_of_runs
from benchmarks.simulation.cases import ByPosition, Case
from benchmarks.simulation.choices import cases_of_runs
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.fleet import MODES, Arrivals, Deployment, Fleet, Mode, Questions
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.traces import shipped_tokens_per_frame, traced
from common.errors import InputError, SettingsError
from common.replay import StageTimes, load_profile
from common.shipped import shipped_drafter

FIGURES = ("ttft_ms", "tpot_ms", "total_ms", "target_passes")
TOLERANCE = 0.10
_SEEDS = 5  # of drawn guesses, where they weren't traced
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one group of runs: medians, replayed and simulated. `off` is the difference over the replayed."""

    label: str
    clients: int
    figure: str
    runs: int
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


def validate_file(path: Path, *, as_json: bool = False) -> int:
    """Compare, print a table, return a status: 1 if a figure is off by more than the tolerance.

    Raises:
        InputError: the file can't be read, or has no replayed runs of a simulated paradigm.
    """
    from benchmarks.simulation.table import print_differences

    record = load_record(path)
    differences = compare(record, str(path))
    if as_json:
        print(json.dumps({"tolerance": TOLERANCE, "differences": [one.as_dict() for one in differences]}))
    else:
        print_differences(differences, record.meta, TOLERANCE)
    return 0 if all(one.within for one in differences) else 1


def compare(record: Record, where: str) -> list[Difference]:
    """Every figure of every paradigm, mode and client count.

    Raises:
        InputError: nothing in the record can be compared.
    """
    runs = [run for run in record.runs if run.label in MODES and run.replayed]
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
    for (label, clients), group in groups.items():
        fleets = _simulate(MODES[label], clients, group, cases, acceptance, times, record.meta)
        differences += _differences(label, clients, group, fleets)
    return differences


def _times(record: Record, runs: Sequence[Run]) -> StageTimes:
    layout = record.meta.get("layout") or {}
    name = str(layout.get("replay") or runs[0].replayed)
    if any(run.replayed != runs[0].replayed for run in runs):
        raise InputError("runs of different replay profiles in one file: validate them one by one")
    return load_profile(name)


def _cases(record: Record, runs: Sequence[Run], where: str) -> list[Case]:
    """The questions with traces of clip and drafter, where the drafter was the shipped one and the clips are its."""
    cases = cases_of_runs(runs, where)
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
        Costs(times, load_s=_load_s(group)),
        LinkFigures.of(_link(group)),
        slots=int((meta.get("layout") or {}).get("sessions", 8)),
        tokens_per_frame=shipped_tokens_per_frame(),
    )
    seeds = 1 if all(case.guesses for case in chosen) else _SEEDS
    arrivals = Arrivals(think_s=_PAUSE_S, start_s=0.0, each=len(chosen))
    if clients > 1:
        arrivals = replace(arrivals, think_s=0.0)
    fleets = [
        Fleet(on, mode, Questions(chosen, acceptance, in_turn=True), clients, arrivals, seed) for seed in range(seeds)
    ]
    for fleet in fleets:
        fleet.run(3_600.0)
    return fleets


def _load_s(group: Sequence[Run]) -> float:
    """What reading events and clip took there: no profile pads it, so it is measured, not modelled."""
    times = [s["end_ms"] - s["start_ms"] for run in group for s in run.stages if s["name"] == "load"]
    return median(times) / 1e3 if times else 0.0


def _link(group: Sequence[Run]) -> LinkProfile | None:
    link = group[0].link
    if any(run.link != link for run in group):
        raise SettingsError("runs over different links in one file: validate them one by one")
    return LinkProfile.from_dict(link) if link else None


def _differences(label: str, clients: int, group: Sequence[Run], fleets: Sequence[Fleet]) -> list[Difference]:
    reports: list[Mapping[str, Any]] = [o.report for fleet in fleets for o in fleet.outcomes if not o.failure]
    found = []
    for figure in FIGURES:
        replayed = [value for run in group if (value := getattr(run, figure)) is not None]
        simulated = [value for report in reports if (value := report[figure]) is not None]
        if replayed and simulated:
            found.append(Difference(label, clients, figure, len(replayed), median(replayed), median(simulated)))
    return found
