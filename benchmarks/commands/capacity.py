"""`eventspec-bench capacity`: how many clients one cloud serves, by paradigm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands.compare import check, layout_of, link_of, opened_link
from benchmarks.commands.options import (
    ClipsOption,
    DeviceOption,
    DrafterOption,
    DtypeOption,
    JsonOption,
    MaxTokensOption,
    ModelOption,
    OutOption,
    ParadigmOption,
    QuestionsOption,
    ReplayOption,
    SeedOption,
    TemperatureOption,
    ThreadsOption,
)
from benchmarks.link.options import (
    Backend,
    BackendOption,
    DownlinkOption,
    DownlinkTraceOption,
    JitterOption,
    LossOption,
    ProfileOption,
    QueueOption,
    RttOption,
    TraceOption,
    UplinkOption,
)

if TYPE_CHECKING:
    from benchmarks.commands.experiment import Experiment
    from benchmarks.paradigms.capacity import FleetFigures, Objectives, Theory
    from benchmarks.results import Record, Run

ClientsOption = Annotated[
    list[str] | None, typer.Option("--clients", metavar="N", help="Client counts: 1,4,8 or given again. [1,2,4,8]")
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=1.0, help="How long each count asks.")]
TtftOption = Annotated[float, typer.Option("--ttft-objective-ms", min=0.0, help="Longest TTFT that is good.")]
TpotOption = Annotated[float, typer.Option("--tpot-objective-ms", min=0.0, help="Longest TPOT that is good.")]
WatchedOption = Annotated[
    bool,
    typer.Option("--watched", help="Each client asks about one clip, streamed and taken in before the seconds begin."),
]


def capacity(
    clients: ClientsOption = None,
    seconds: SecondsOption = 10.0,
    watched: WatchedOption = False,
    ttft_objective_ms: TtftOption = 2_000.0,
    tpot_objective_ms: TpotOption = 100.0,
    profile: ProfileOption = None,
    rtt: RttOption = None,
    uplink: UplinkOption = None,
    downlink: DownlinkOption = None,
    jitter: JitterOption = None,
    loss: LossOption = None,
    queue: QueueOption = None,
    trace: TraceOption = None,
    downlink_trace: DownlinkTraceOption = None,
    backend: BackendOption = Backend.AUTO,
    paradigm: ParadigmOption = None,
    questions: QuestionsOption = 18,
    seed: SeedOption = 0,
    temperature: TemperatureOption = 0.0,
    max_tokens: MaxTokensOption = 64,
    model: ModelOption = None,
    drafter: DrafterOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = 1,
    clips: ClipsOption = None,
    replay: ReplayOption = "",
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Let more and more clients ask one cloud, without pauses; show tokens a second, times, passes, goodput.

    Every client is an edge daemon of its own; all share the link, the cloud, and this machine's cores: with models that
    run here, drafting takes time from the cloud. With --replay stages wait instead of working, and cores matter little.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    record = _capacity(options)
    check(record, out)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        _print(record)


def _capacity(options: dict[str, Any]) -> Record:
    from benchmarks.paradigms.capacity import Objectives

    counts = _counts(options["clients"])
    objectives = Objectives(options["ttft_objective_ms"], options["tpot_objective_ms"])
    experiment = _experiment(options, max(counts))
    with opened_link(link_of(options), {**options, "edge": ""}) as link:
        return _measure(experiment, link, counts, options["seconds"], objectives, options["watched"])


def _measure(
    experiment: Experiment, link: Any, counts: list[int], seconds: float, objectives: Objectives, watched: bool
) -> Record:
    from benchmarks.commands.experiment import make_meta, measured_link, now
    from benchmarks.paradigms.capacity import fleet_figures, theory_of
    from benchmarks.paradigms.clients import run_clients, warm_up_clients
    from benchmarks.paradigms.deployment import Deployment
    from benchmarks.results import Record

    created, measured = now(), measured_link(link)
    plan, runs, fleets, theories = experiment.plan, [], [], {}
    with Deployment(link, plan.paradigms, experiment.layout) as deployment, _progress() as say:
        say("warming up")
        warm_up_clients(deployment, plan, max(counts))
        for count in counts:
            for paradigm in plan.paradigms:
                say(f"{paradigm.label}, {count} clients")
                answers = run_clients(deployment, link, plan, paradigm, count, seconds, watched=watched)
                fleets.append(fleet_figures(answers, count, seconds, objectives).as_dict())
                runs += answers
                if count == min(counts) and (theory := theory_of(answers)) is not None:
                    theories[paradigm.label] = theory.as_dict()
    meta = make_meta(experiment, link, created=created, measured=measured, runs=runs)
    more = {
        "clients": counts,
        "seconds": seconds,
        "watched": watched,
        "objectives": {"ttft_ms": objectives.ttft_ms, "tpot_ms": objectives.tpot_ms},
        "fleets": fleets,
        "theory": theories,
    }
    return Record({**meta, **more}, runs)


def _counts(texts: list[str] | None) -> list[int]:
    from benchmarks.commands.grid import parse_values
    from common.errors import SettingsError

    values = parse_values("--clients", texts, (1, 2, 4, 8))
    if any(value != int(value) or value > 256 for value in values):
        raise SettingsError("--clients takes whole numbers up to 256, such as 1,2,4,8")
    return [int(value) for value in values]


def _experiment(options: dict[str, Any], clients: int) -> Experiment:
    from dataclasses import replace

    from benchmarks.commands.experiment import Experiment, make_plan
    from benchmarks.paradigms.base import Need
    from benchmarks.paradigms.catalogue import choose_paradigms
    from common.errors import SettingsError

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
    if options["watched"]:
        notes += (
            "each client asks about one clip, which was streamed and taken in by both models before the seconds began",
        )
    return Experiment("capacity", plan, layout, notes)


def _progress() -> Any:
    from contextlib import contextmanager

    from rich.console import Console

    @contextmanager
    def shown() -> Any:
        with Console(stderr=True).status("starting") as status:
            yield lambda text: status.update(f"capacity: {text}")

    return shown()


def _print(record: Record) -> None:
    from benchmarks.commands.tables import headline, make_console
    from benchmarks.paradigms.capacity import FleetFigures, Theory

    console, meta = make_console(), record.meta
    fleets = [FleetFigures(**values) for values in meta["fleets"]]
    console.print(f"[bold]{headline(record)}[/]")
    console.print(_table(fleets))
    ttft, tpot = meta["objectives"]["ttft_ms"], meta["objectives"]["tpot_ms"]
    console.print(f"good: answers with TTFT <= {ttft:g} ms and TPOT <= {tpot:g} ms")
    names = ("gamma", "drafter_ms", "verify_ms", "round_trip_ms")
    theories = {label: Theory(**{n: values[n] for n in names}) for label, values in meta["theory"].items()}
    for line in _verdicts(fleets, theories):
        console.print(line)
    for note in meta["notes"]:
        console.print(f"· {note}", style="dim")


def _table(fleets: list[FleetFigures]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("paradigm", no_wrap=True)
    for name in (
        "clients",
        "tokens/s",
        "TTFT p50\nms",
        "TTFT p99\nms",
        "TPOT p50\nms",
        "passes\n/ token",
        "good\nanswers/s",
        "good\nshare",
        "answers",
    ):
        table.add_column(name, justify="right")
    for f in sorted(fleets, key=lambda f: (f.paradigm, f.mode, f.clients)):
        cells = (
            f"{f.tokens_per_s:.1f}",
            *(_number(value) for value in (f.ttft_p50_ms, f.ttft_p99_ms)),
            _number(f.tpot_p50_ms, 1),
            _number(f.passes_per_token, 2),
            f"{f.goodput_per_s:.2f}",
            "-" if f.goodput_share is None else f"{f.goodput_share:.0%}",
            str(f.answers),
        )
        table.add_row(_label(f), str(f.clients), *cells)
    return table


def _verdicts(fleets: list[FleetFigures], theories: dict[str, Theory]) -> list[str]:
    from benchmarks.paradigms.capacity import most_clients

    lines = []
    for label in dict.fromkeys(_label(f) for f in fleets):
        most = most_clients(f for f in fleets if _label(f) == label)
        lines.append(f"{label}: 90 % of answers good up to {most} of the clients that were tried")
        if (theory := theories.get(label)) is not None:
            lines.append(
                f"  theory: 1 + gamma t_d / t_v = 1 + {theory.gamma:.1f} x {theory.drafter_ms:.2f} / "
                f"{theory.verify_ms:.2f} = {theory.clients:.2f} clients before they wait for each other, without "
                f"batching; {theory.with_round_trip:.2f} with the round trip of {theory.round_trip_ms:.0f} ms"
            )
    return lines


def _label(figures: FleetFigures | Run) -> str:
    return f"{figures.paradigm}/{figures.mode}" if figures.mode else figures.paradigm


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
