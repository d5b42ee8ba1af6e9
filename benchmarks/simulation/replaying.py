"""Simulates what a file of replayed runs did: the same turns of the same clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.link.profile import LinkProfile
from benchmarks.results import Run
from benchmarks.simulation.cases import Acceptance, Case
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.fleet import Arrivals, Deployment, Fleet, Questions
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import Mode
from benchmarks.simulation.traces import shipped_tokens_per_frame
from common.errors import SettingsError
from common.replay import StageTimes

_SEEDS = 20  # where something is drawn: guesses that weren't traced, jitter, loss, who of several comes first
_PAUSE_S = 1.0  # between the questions of a client alone
_TOGETHER_S = 0.005  # in which several clients start; chance decides who comes first


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one mode and client count, of `replay` or `capacity`. `cases`: all questions in the order of asking."""

    mode: Mode
    clients: int
    runs: Sequence[Run]
    cases: Sequence[Case]
    acceptance: Acceptance
    times: StageTimes
    meta: Mapping[str, Any]

    @property
    def several(self) -> bool:
        """True if several clients ask at a time."""
        return self.clients > 1

    @property
    def _of_capacity(self) -> bool:
        return "clients" in self.runs[0].extra

    @property
    def _warm_up(self) -> int:
        """Questions that were asked before anything was measured."""
        return int((self.meta.get("plan") or {}).get("warm_up", 0))

    def turn_of(self, run: Run) -> int:
        """The place of a run among everything that its client was asked, if it was alone."""
        if self._of_capacity:
            return self._warm_up + run.repetition
        place = next(i for i, case in enumerate(self.cases) if (case.clip, case.question) == (run.clip, run.question))
        return self._warm_up + run.repetition * len(self.cases) + place

    def simulate(self) -> list[Fleet]:
        """One fleet, or one for each of several seeds where something is drawn; they have run."""
        on = Deployment(
            Costs(self.times, load_s=self._load_s()),
            LinkFigures.of(self._link()),
            slots=max(8, self.clients),
            shared_link=True,
            tokens_per_frame=shipped_tokens_per_frame(),
        )
        drawn = self.several or on.link.jitter or on.link.loss or not all(case.guesses for case in self.cases)
        if self.several:
            asked, duration = self.cases, float(self.meta["seconds"])
            arrivals = Arrivals(think_s=0.0, start_s=_TOGETHER_S)
        else:
            asked, duration = self._sequence(), 1e6
            arrivals = Arrivals(think_s=_PAUSE_S, start_s=0.0, each=len(asked))
        questions = Questions(asked, self.acceptance, in_turn=True)
        seeds = range(_SEEDS if drawn else 1)
        fleets = [Fleet(on, self.mode, questions, self.clients, arrivals, seed) for seed in seeds]
        for fleet in fleets:
            fleet.run(duration)
        return fleets

    def _sequence(self) -> list[Case]:
        """What a client alone was asked: warm-up, then round after round."""
        rounds = max(run.repetition for run in self.runs) + 1
        measured = rounds if self._of_capacity else rounds * len(self.cases)
        return [self.cases[n % len(self.cases)] for n in (*range(self._warm_up), *range(measured))]

    def _load_s(self) -> float:
        """What reading (and, where no profile pads it, rasterising) took there: not modelled, so measured."""
        names = ("load",) if self.times.drafter.rasterise_ms else ("load", "rasterise")
        ends = [[span["end_ms"] for span in run.stages if span["name"] in names] for run in self.runs]
        return median(max(one, default=0.0) for one in ends) / 1e3

    def _link(self) -> LinkProfile | None:
        link = self.runs[0].link
        if any(run.link != link for run in self.runs):
            raise SettingsError("runs over different links in one file: validate them one by one")
        return LinkProfile.from_dict(link) if link else None
