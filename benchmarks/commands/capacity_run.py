"""What `eventspec-bench capacity` does: a fleet of each size over one link, in slow motion if need be."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.commands.compare import layout_of, link_of, opened_link
from benchmarks.commands.experiment import Experiment, make_meta, make_plan, measured_link, now
from benchmarks.commands.grid import parse_values
from benchmarks.link.profile import LinkProfile
from benchmarks.paradigms.base import Need
from benchmarks.paradigms.capacity import Objectives, fleet_figures, theory_of
from benchmarks.paradigms.catalogue import choose_paradigms
from benchmarks.paradigms.clients import run_clients, warm_up_clients
from benchmarks.paradigms.deployment import Deployment
from benchmarks.paradigms.stretching import stretched_link, stretched_times, told, told_run
from benchmarks.results import Record, Run
from common.errors import SettingsError
from common.replay import load_profile


def run_capacity(options: dict[str, Any]) -> Record:
    """Ask with every count of clients, over one link; `options` are the command's.

    Raises:
        SettingsError: they make no sense.
        LinkError: the link can't be set up.
    """
    counts, stretch = _counts(options["clients"]), options["stretch"]
    objectives = Objectives(options["ttft_objective_ms"], options["tpot_objective_ms"])
    profile = link_of(options)
    with _stretched_replay(options["replay"], stretch) as name:
        experiment = _experiment({**options, "replay": name}, max(counts))
        with opened_link(_slower(profile, stretch), {**options, "edge": ""}) as link:
            window = _Window(options["seconds"], stretch, options["watched"], profile, options["replay"])
            return _measure(experiment, link, counts, window, objectives)


def _counts(texts: list[str] | None) -> list[int]:
    values = parse_values("--clients", texts, (1, 2, 4, 8))
    if any(value != int(value) or value > 256 for value in values):
        raise SettingsError("--clients takes whole numbers up to 256, such as 1,2,4,8")
    return [int(value) for value in values]


def _experiment(options: dict[str, Any], clients: int) -> Experiment:
    named = options["paradigm"] or ["cloud_only", "stream_to_cloud"]
    paradigms = [p for p in choose_paradigms(named) if not p.ahead or p.label in named]
    if ahead := [p.label for p in paradigms if p.ahead]:
        raise SettingsError(f"capacity asks without pauses; {ahead[0]} waits for a clip to be recorded")
    if other := [p.label for p in paradigms if p.need is not Need.EDGE]:
        raise SettingsError(f"capacity asks edge daemons; {other[0]} has none")
    paradigms = [p for p in paradigms if not p.states]
    layout = layout_of({**options, "share_edge": True, "edge": ""})
    layout = replace(layout, clients=clients, sessions=max(8, clients))
    names = ("clips", "questions", "seed", "temperature", "max_tokens")
    plan = make_plan(paradigms, **{n: options[n] for n in names}, repetitions=1, warm_up=1)
    notes: tuple[str, ...] = (
        f"each of up to {clients} clients is an edge daemon of its own and asks without pauses; they share one link, "
        "one cloud, and this machine's cores",
    )
    if options["stretch"] != 1.0:
        layout = replace(layout, patience_ms=round(layout.patience_ms * options["stretch"]))
        notes += (
            f"in slow motion: stages, link, patience and window were {options['stretch']:g} times as long, and all "
            "times were divided by that; so this machine's own work counts less",
        )
    if options["watched"]:
        notes += (
            "each client asks about one clip, which was streamed and taken in by both models before the seconds began",
        )
    return Experiment("capacity", plan, layout, notes)


@dataclass(frozen=True, slots=True)
class _Window:
    """How clients ask: `seconds` of the deployment's time, `stretch` times as long on the clock; what was meant."""

    seconds: float
    stretch: float
    watched: bool
    profile: LinkProfile | None
    replay: str

    def told(self, runs: list[Run]) -> list[Run]:
        """Runs in the deployment's time."""
        return runs if self.stretch == 1.0 else [told_run(run, self.profile, self.stretch) for run in runs]


def _slower(profile: LinkProfile | None, stretch: float) -> LinkProfile | None:
    try:
        return profile if stretch == 1.0 else stretched_link(profile, stretch)
    except ValueError as error:
        raise SettingsError(f"--stretch: {error}") from error


@contextmanager
def _stretched_replay(name: str, stretch: float) -> Iterator[str]:
    """The profile to replay: the one that was named, or a file with all its times stretched."""
    if stretch == 1.0:
        yield name
        return
    if not name:
        raise SettingsError("--stretch needs --replay: what models really take here can't be stretched")
    with tempfile.TemporaryDirectory(prefix="eventspec-bench-") as folder:
        path = Path(folder) / "stretched.json"
        path.write_text(json.dumps(stretched_times(load_profile(name), stretch)), encoding="utf-8")
        yield str(path)


def _measure(experiment: Experiment, link: Any, counts: list[int], window: _Window, objectives: Objectives) -> Record:
    created, measured = now(), measured_link(link)
    plan, runs, fleets, theories = experiment.plan, [], [], {}
    with Deployment(link, plan.paradigms, experiment.layout) as deployment, _progress() as say:
        say("warming up")
        warm_up_clients(deployment, plan, max(counts))
        for count in counts:
            for paradigm in plan.paradigms:
                say(f"{paradigm.label}, {count} clients")
                seconds = window.seconds * window.stretch
                answers = window.told(
                    run_clients(deployment, link, plan, paradigm, count, seconds, watched=window.watched)
                )
                fleets.append(fleet_figures(answers, count, window.seconds, objectives).as_dict())
                runs += answers
                if count == min(counts) and (theory := theory_of(answers)) is not None:
                    theories[paradigm.label] = theory.as_dict()
    meta = make_meta(experiment, link, created=created, measured=measured, runs=runs)
    if window.stretch != 1.0 and window.profile is not None:
        meta = {**meta, "link": window.profile.as_dict(), "measured": told(measured, window.stretch)}
    if window.stretch != 1.0:
        meta = {**meta, "layout": {**meta["layout"], "replay": window.replay}}
    more = {
        "clients": counts,
        "seconds": window.seconds,
        "watched": window.watched,
        "stretch": window.stretch,
        "objectives": {"ttft_ms": objectives.ttft_ms, "tpot_ms": objectives.tpot_ms},
        "fleets": fleets,
        "theory": theories,
    }
    return Record({**meta, **more}, runs)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(f"capacity: {text}")
