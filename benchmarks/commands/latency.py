"""`eventspec-bench latency`: short and long answers to questions that are asked when the clip has just ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands.options import (
    ClipsOption,
    JsonOption,
    OutOption,
    ParadigmOption,
    QuestionsOption,
    RepetitionsOption,
    SeedOption,
    ThreadsOption,
)
from benchmarks.link.options import Backend, BackendOption, DownlinkOption, RttOption, UplinkOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.commands.experiment import Experiment
    from benchmarks.link.profile import LinkProfile
    from benchmarks.paradigms.latency import LatencyFigure
    from benchmarks.results import Record, Run

SetupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--setup",
        metavar="NAME",
        help="tiny (the shipped pair as it is), or a replay profile; may be given again. "
        "[tiny, 7b-4bit-24gb, 7b-small-drafter]",
    ),
]
_SETUPS = ("tiny", "7b-4bit-24gb", "7b-small-drafter")
_PARADIGMS = (
    "cloud_only",
    "cloud_only/ahead",
    "stream_to_cloud/tokens-eager-ahead",
    "stream_to_cloud/tokens-patient-ahead",
)


def latency(
    setup: SetupOption = None,
    rtt: RttOption = 50.0,
    uplink: UplinkOption = 20.0,
    downlink: DownlinkOption = None,
    backend: BackendOption = Backend.AUTO,
    paradigm: ParadigmOption = None,
    questions: QuestionsOption = 3,
    repetitions: RepetitionsOption = 2,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    clips: ClipsOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Answers of 5 and of up to 45 tokens about a clip that has just ended, against cloud_only, which uploads then.

    TTFT and total time, for the tiny pair and replayed 7B pairs. Status 1 if stream_to_cloud, streamed ahead, misses a
    bar with a replayed pair: TTFT at most 0.35 times that of cloud_only, 3 times as fast with 5 tokens, 1.5 with 45.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    from benchmarks.commands.compare import check
    from benchmarks.paradigms.latency import latency_figures

    record = _latency(options)
    check(record, out)
    figures = latency_figures(record.runs)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        _print(record, figures)
    raise typer.Exit(0 if all(figure.reached for figure in figures if figure.judged) else 1)


def _latency(options: dict[str, Any]) -> Record:
    from benchmarks.commands.experiment import make_meta, measured_link, now
    from benchmarks.link.opening import choose_backend, open_link
    from benchmarks.link.options import link_profile
    from benchmarks.paradigms.latency import latency_figures
    from benchmarks.results import Record

    profile = link_profile(None, **{name: options[name] for name in ("rtt", "uplink", "downlink")})
    backend = str(options["backend"])
    backend = choose_backend(profile) if backend == "auto" else backend
    runs: list[Run] = []
    created = now()
    setups = list(options["setup"] or _SETUPS)
    experiments = {name: _experiments(options, name) for name in setups}  # wrong options end it before anything starts
    with open_link(profile, backend) as link:
        measured = measured_link(link)
        first = experiments[setups[0]][0]
    for name in setups:
        runs += _measure(name, experiments[name], profile, backend)
    meta = make_meta(first, link, created=created, measured=measured, runs=runs)
    figures = [figure.as_dict() for figure in latency_figures(runs)]
    return Record({**meta, "setups": setups, "replayed": "", "figures": figures}, runs)


def _experiments(options: dict[str, Any], setup: str) -> list[Experiment]:
    """Short answers, then long ones."""
    from dataclasses import replace

    from benchmarks.clips import load_questions
    from benchmarks.commands.experiment import Experiment, fit_to_layout, make_plan
    from benchmarks.paradigms.catalogue import ahead_notes, choose_paradigms
    from benchmarks.paradigms.deployment import Layout, Models
    from benchmarks.paradigms.latency import LONG, SHORT, long_questions, short_questions
    from common.replay import load_profile

    if setup != "tiny":
        load_profile(setup)
    layout = Layout(Models(threads=options["threads"]), replay="" if setup == "tiny" else setup)
    paradigms, _ = fit_to_layout(choose_paradigms(options["paradigm"] or _PARADIGMS), layout)
    known = load_questions(options["clips"])
    experiments = []
    for wanted, choose in ((SHORT, short_questions), (LONG, long_questions)):
        names = ("clips", "questions", "repetitions", "seed")
        plan = make_plan(
            paradigms,
            **{n: options[n] for n in names},
            ahead_repetitions=options["repetitions"],
            temperature=0.0,
            max_tokens=wanted,
            warm_up=1,
        )
        plan = replace(plan, questions=tuple(choose(known, options["questions"])))
        experiments.append(Experiment("latency", plan, layout, tuple(ahead_notes(paradigms))))
    return experiments


def _measure(setup: str, experiments: Sequence[Experiment], profile: LinkProfile | None, backend: str) -> list[Run]:
    from dataclasses import replace

    from benchmarks.commands.experiment import progress_bar
    from benchmarks.link.opening import open_link
    from benchmarks.paradigms.deployment import Deployment
    from benchmarks.paradigms.measuring import measure, warm_up

    runs = []
    size = sum(experiment.plan.size for experiment in experiments) + len(experiments[0].plan.paradigms)
    with (
        open_link(profile, backend) as link,
        Deployment(link, experiments[0].plan.paradigms, experiments[0].layout) as deployment,
        progress_bar(size, setup) as step,
    ):
        warm_up(deployment, experiments[0].plan, step)
        for experiment in experiments:
            extra = {"setup": setup, "wanted": experiment.plan.max_tokens}
            found = measure(deployment, link, experiment.plan, step)
            runs += [replace(run, extra={**run.extra, **extra}) for run in found]
    return runs


def _print(record: Record, figures: Sequence[LatencyFigure]) -> None:
    from benchmarks.commands.tables import headline, make_console, plain

    console = make_console()
    console.print(plain(headline(record)), style="bold")
    console.print("the clip has just ended when the question comes; cloud_only uploads it then, the others streamed it")
    console.print(_table(figures))
    console.print(
        "median (quartiles); x cloud: paired with cloud_only's answers to the same question and repetition; carried "
        "on: every answer carried on to its limit at its own time a token"
    )
    for note in record.meta["notes"]:
        console.print(f"· {note}", style="dim")


def _table(figures: Sequence[LatencyFigure]) -> Any:
    from rich import box
    from rich.table import Table

    from benchmarks.commands.tables import spread_text
    from benchmarks.paradigms.latency import TOTAL_AT_LEAST, TTFT_AT_MOST

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("setup", "tokens\nup to", "paradigm"):
        table.add_column(name, no_wrap=True)
    for name in ("came", "TTFT ms", "TTFT\nx cloud", "total ms", "times\nas fast", "carried on", "bars"):
        table.add_column(name, justify="right")
    for f in figures:
        bars = f"{TTFT_AT_MOST:g}, {TOTAL_AT_LEAST[f.wanted]:g}: {'reached' if f.reached else 'MISSED'}"
        table.add_row(
            f.setup,
            str(f.wanted),
            f.label,
            f"{f.tokens:g}",
            spread_text(f.ttft),
            spread_text(f.ttft_ratio, 2),
            spread_text(f.total),
            spread_text(f.times_as_fast, 2),
            spread_text(f.carried_on, 2),
            bars if f.judged else "",
        )
    return table
