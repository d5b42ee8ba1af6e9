"""From options to a record: what compare, sweep, stages and replay do alike. A thin shell around pure parts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.clips import load_questions, spread
from benchmarks.commands.elsewhere import ElsewhereLink
from benchmarks.link.base import EmulatedLink
from benchmarks.machine import machine_facts, model_facts
from benchmarks.paradigms.base import Need, Paradigm
from benchmarks.paradigms.choosing import choices
from benchmarks.paradigms.deployment import Deployment, Layout, Models
from benchmarks.paradigms.measuring import measure, warm_up
from benchmarks.paradigms.plan import Plan, Turn, warm_up_turns
from benchmarks.paradigms.tuning import tune_colocated
from benchmarks.results import SCHEMA, Record, Run
from common.errors import SettingsError
from common.shipped import shipped_drafter, shipped_target
from common.types import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator

Step = Callable[[Turn], None]


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is measured, apart from the link."""

    command: str
    plan: Plan
    layout: Layout
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Answers, warm-up included."""
        return self.plan.size + len(list(warm_up_turns(self.plan)))


def make_plan(
    paradigms: Iterable[Paradigm],
    *,
    clips: Path | None,
    questions: int,
    repetitions: int,
    ahead_repetitions: int = 1,
    seed: int,
    temperature: float,
    max_tokens: int,
    warm_up: int,
) -> Plan:
    """A plan from options.

    Raises:
        SettingsError: an option makes no sense.
    """
    try:
        sampling = SamplingParams(temperature=temperature, seed=seed)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    chosen = spread(load_questions(clips), questions)
    return Plan(tuple(paradigms), tuple(chosen), repetitions, sampling, max_tokens, warm_up, ahead_repetitions)


def fit_to_layout(paradigms: list[Paradigm], layout: Layout) -> tuple[list[Paradigm], list[str]]:
    """The paradigms that this layout can run, and a note for each that it can't.

    Raises:
        SettingsError: none is left.
    """
    kept, notes = [], []
    for paradigm in paradigms:
        if layout.edge_address and paradigm.need is not Need.EDGE:
            notes.append(f"{paradigm.label} left out: its processes aren't among those that run elsewhere (--edge)")
        elif layout.replay and paradigm.need is Need.IN_PROCESS:
            notes.append(f"{paradigm.label} left out: transformers' own generation isn't padded to a replay profile")
        elif paradigm.states and layout.edge_address:
            notes.append(f"{paradigm.label} left out: what the drafts of an edge elsewhere carry is its own setting")
        elif paradigm.states and not layout.adapter:
            notes.append(f"{paradigm.label} left out: it needs an adapter; name one with --adapter")
        else:
            kept.append(paradigm)
    if not kept:
        raise SettingsError("no paradigm is left to measure: " + "; ".join(notes))
    return kept, notes


def run_experiment(experiment: Experiment, link: EmulatedLink, step: Step = lambda turn: None) -> Record:
    """Start everything, warm up, measure, take everything down.

    Raises:
        EventSpecError: a process died, the link failed, or there is no answer.
    """
    created, measured = now(), measured_link(link)
    with Deployment(link, experiment.plan.paradigms, experiment.layout) as deployment:
        warm_up(deployment, experiment.plan, step)
        paradigms, notes = tune_colocated(deployment, experiment.plan)
        plan = replace(experiment.plan, paradigms=tuple(paradigms))
        runs = list(measure(deployment, link, plan, step))
    meta = make_meta(experiment, link, created=created, measured=measured, runs=runs, notes=notes)
    return Record(meta, runs)


def now() -> str:
    """The date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def measured_link(link: EmulatedLink) -> dict[str, Any]:
    """Round trips that the link really gives, before anything else uses it; empty if nothing is emulated here."""
    if link.profile is None or isinstance(link, ElsewhereLink):
        return {}
    from benchmarks.link.measure import measure_link

    return measure_link(link, quick=True).as_dict()


def make_meta(
    experiment: Experiment,
    link: EmulatedLink,
    *,
    created: str,
    measured: dict[str, Any],
    runs: list[Run],
    notes: Iterable[str] = (),
) -> dict[str, Any]:
    """The `meta` of a record (`docs/benchmark-schema.md`)."""
    plan, layout = experiment.plan, experiment.layout
    return {
        "schema": SCHEMA,
        "command": experiment.command,
        "command_line": command_line(),
        "created": created,
        "machine": machine_facts(),
        "models": models_of(layout),
        "link": link.profile.as_dict() if link.profile is not None else {},
        "backend": link.backend,
        "measured": measured,
        "replayed": next((run.replayed for run in runs if run.replayed), ""),
        "plan": plan_facts(plan),
        "layout": layout_facts(layout),
        "lossless": True,
        "choices": choices(link.profile.as_dict() if link.profile is not None else {}, runs),
        "notes": [*link.notes, *layout_notes(layout), *experiment.notes, *notes],
        **experiment.facts,
    }


def plan_facts(plan: Plan) -> dict[str, Any]:
    """What was asked; two records of the same facts asked the same."""
    return {
        "paradigms": [p.label for p in plan.paradigms],
        "questions": [[q.clip, q.question] for q in plan.questions],
        "repetitions": plan.repetitions,
        "ahead_repetitions": plan.ahead_repetitions,
        "warm_up": plan.warm_up,
        "seed": plan.sampling.seed,
        "temperature": plan.sampling.temperature,
        "max_tokens": plan.max_tokens,
    }


def layout_facts(layout: Layout) -> dict[str, Any]:
    """How processes were laid out."""
    return {
        "threads": layout.models.threads,
        "device": layout.models.device,
        "dtype": layout.models.dtype,
        "share_edge": layout.share_edge,
        "edge_address": layout.edge_address,
        "replay": layout.replay,
    }


def layout_notes(layout: Layout) -> list[str]:
    """What a reader must know about the layout."""
    if layout.edge_address:
        return [
            f"the edge daemon at {layout.edge_address} and its cloud were started elsewhere: models, threads, link and "
            "backend are what the caller said, not what was checked here",
            "all paradigms share one edge daemon and its connections",
        ]
    notes = [
        f"every process has {layout.models.threads} torch thread(s); both sides share this machine's cores",
        "times are by the clock of the process that is asked; asking it over a unix socket isn't in them",
        "connections stay open between questions, as a user's would; order of paradigms moves on with every question",
    ]
    if layout.share_edge:
        notes.append("all paradigms share one edge daemon, so a connection is warmer the more paradigms use it")
    else:
        notes.append("each paradigm has an edge process and connections of its own; all share one cloud daemon")
    return notes


def models_of(layout: Layout) -> dict[str, Any]:
    """Names and fingerprints of both models; empty where daemons run elsewhere."""
    if layout.edge_address:
        return {}
    models: Models = layout.models
    target, drafter = models.target or shipped_target(), models.drafter or shipped_drafter()
    how = {"device": models.device, "dtype": models.dtype}
    return {"target": {**model_facts(target), **how}, "drafter": {**model_facts(drafter), **how}}


def command_line() -> str:
    """The command as it was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


@contextmanager
def progress_bar(total: int, text: str) -> Iterator[Step]:
    """A progress bar on standard error, one step a turn."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=total)

        def step(turn: Turn) -> None:
            progress.update(task, advance=1, description=f"{text}: {turn.paradigm.label}")

        yield step
