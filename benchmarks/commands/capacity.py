"""`eventspec-bench capacity`: how many clients one cloud serves, by paradigm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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
    from benchmarks.link.profile import LinkProfile
    from benchmarks.paradigms.capacity import Objectives
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
StretchOption = Annotated[
    float,
    typer.Option(
        "--stretch",
        min=1.0,
        max=100.0,
        help="With --replay: run stages, link, patience and window so many times slower, and divide what is told. This "
        "machine's cores, which all clients share, then count so many times less.",
    ),
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
    stretch: StretchOption = 1.0,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Let more and more clients ask one cloud, without pauses; show tokens a second, times, passes, goodput.

    Every client is an edge daemon of its own; all share the link, the cloud, and this machine's cores: with models that
    run here, drafting takes time from the cloud. With --replay stages wait instead of working, and cores matter little.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    from benchmarks.commands.capacity_tables import print_capacity

    record = _capacity(options)
    check(record, out)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        print_capacity(record)


def _capacity(options: dict[str, Any]) -> Record:
    from benchmarks.paradigms.capacity import Objectives

    counts, stretch = _counts(options["clients"]), options["stretch"]
    objectives = Objectives(options["ttft_objective_ms"], options["tpot_objective_ms"])
    profile = link_of(options)
    with _stretched_replay(options["replay"], stretch) as name:
        experiment = _experiment({**options, "replay": name}, max(counts))
        with opened_link(_slower(profile, stretch), {**options, "edge": ""}) as link:
            window = _Window(options["seconds"], stretch, options["watched"], profile, options["replay"])
            return _measure(experiment, link, counts, window, objectives)


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
        from benchmarks.paradigms.stretching import told_run

        return runs if self.stretch == 1.0 else [told_run(run, self.profile, self.stretch) for run in runs]


def _slower(profile: LinkProfile | None, stretch: float) -> LinkProfile | None:
    from benchmarks.paradigms.stretching import stretched_link
    from common.errors import SettingsError

    try:
        return profile if stretch == 1.0 else stretched_link(profile, stretch)
    except ValueError as error:
        raise SettingsError(f"--stretch: {error}") from error


@contextmanager
def _stretched_replay(name: str, stretch: float) -> Iterator[str]:
    """The profile to replay: the one that was named, or a file with all its times stretched."""
    import tempfile

    from benchmarks.paradigms.stretching import stretched_times
    from common.errors import SettingsError
    from common.replay import load_profile

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
    from benchmarks.commands.experiment import make_meta, measured_link, now
    from benchmarks.paradigms.capacity import fleet_figures, theory_of
    from benchmarks.paradigms.clients import run_clients, warm_up_clients
    from benchmarks.paradigms.deployment import Deployment
    from benchmarks.paradigms.stretching import told
    from benchmarks.results import Record

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


def _progress() -> Any:
    from contextlib import contextmanager

    from rich.console import Console

    @contextmanager
    def shown() -> Any:
        with Console(stderr=True).status("starting") as status:
            yield lambda text: status.update(f"capacity: {text}")

    return shown()
