"""`eventspec-bench sweep`: the paradigms over a grid of round trips and rates; stops and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands.compare import check, experiment_of
from benchmarks.commands.options import (
    AdapterOption,
    AheadRepetitionsOption,
    ClipsOption,
    DeviceOption,
    DrafterOption,
    DraftFormOption,
    DtypeOption,
    JsonOption,
    MaxTokensOption,
    ModelOption,
    ParadigmOption,
    QuestionsOption,
    RepetitionsOption,
    ReplayOption,
    SeedOption,
    ShareEdgeOption,
    TemperatureOption,
    ThreadsOption,
    WarmUpOption,
)
from benchmarks.link.options import Backend, BackendOption, DownlinkOption, JitterOption, LossOption, QueueOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.commands.experiment import Experiment
    from benchmarks.commands.grid import Point
    from benchmarks.link.profile import LinkProfile
    from benchmarks.results import Record

RttsOption = Annotated[
    list[str] | None, typer.Option("--rtt", metavar="MS", help="Round trips: 5,20 or given again. [5,20,50,100]")
]
UplinksOption = Annotated[
    list[str] | None, typer.Option("--uplink", metavar="MBPS", help="Uplink rates, in the same way. [2,5,20,100]")
]
FolderOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where points go; the same command goes on with what is there.")
]


def sweep(
    rtt: RttsOption = None,
    uplink: UplinksOption = None,
    downlink: DownlinkOption = None,
    jitter: JitterOption = None,
    loss: LossOption = None,
    queue: QueueOption = None,
    backend: BackendOption = Backend.AUTO,
    paradigm: ParadigmOption = None,
    questions: QuestionsOption = 4,
    repetitions: RepetitionsOption = 3,
    ahead_repetitions: AheadRepetitionsOption = 1,
    warm_up: WarmUpOption = 1,
    seed: SeedOption = 0,
    temperature: TemperatureOption = 0.0,
    max_tokens: MaxTokensOption = 64,
    model: ModelOption = None,
    drafter: DrafterOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = 1,
    clips: ClipsOption = None,
    share_edge: ShareEdgeOption = False,
    adapter: AdapterOption = "",
    draft_form: DraftFormOption = "hidden",
    replay: ReplayOption = "",
    as_json: JsonOption = False,
    out: FolderOption = Path("eventspec-sweep"),
) -> None:
    """Compare the paradigms at every point of a grid: round trip by uplink rate.

    Each finished point is written to the output folder. Ctrl-C, a crashed daemon or a failed link stops the sweep; the
    same command goes on with the points that are missing. At the end all runs are in FOLDER/sweep.json too. What no
    link changes (edge_only, in_process) isn't measured unless it is named.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    from benchmarks.commands.grid import merged

    record = merged(_sweep(options, out))
    check(record, out / "sweep.json")
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
        return
    _print(record)
    typer.echo(f"all runs: {out / 'sweep.json'}", err=True)


def _sweep(options: dict[str, Any], folder: Path) -> list[Record]:
    from benchmarks.commands.experiment import layout_facts, models_of, plan_facts
    from benchmarks.commands.grid import finished, points
    from benchmarks.link.opening import choose_backend
    from common.errors import EventSpecError, LinkError

    experiment = _experiment(options)
    grid = points(_profiles(options), folder)
    backend = str(options["backend"])
    backend = choose_backend(grid[0].profile) if backend == "auto" else backend
    expected = {
        "command": "sweep",
        "plan": plan_facts(experiment.plan),
        "layout": layout_facts(experiment.layout),
        "models": models_of(experiment.layout),
        "backend": backend,
    }
    _make_folder(folder)
    found = {point.file: finished(point, expected) for point in grid}
    with _progress(len(grid), sum(record is not None for record in found.values())) as advance:
        for point in grid:
            if found[point.file] is not None:
                continue
            try:
                found[point.file] = _measure(point, experiment, backend)
            except EventSpecError as error:
                done = sum(record is not None for record in found.values())
                raise LinkError(
                    f"stopped at {point.profile.name}: {error}\n{done} of {len(grid)} points are in {folder}; the same "
                    "command goes on from there"
                ) from error
            advance(point.profile.name)
    return [record for record in found.values() if record is not None]


def _measure(point: Point, experiment: Experiment, backend: str) -> Record:
    """Measure one point and write it, if it is sound."""
    from benchmarks.commands.experiment import run_experiment
    from benchmarks.link.opening import open_link

    with open_link(point.profile, backend) as link:
        record = run_experiment(experiment, link)
    check(record, point.file)
    return record


def _experiment(options: dict[str, Any]) -> Experiment:
    from benchmarks.paradigms.catalogue import PARADIGMS

    if not options["paradigm"]:
        crossing = [p.label for p in PARADIGMS if p.crosses_link]
        options = {**options, "paradigm": crossing}
    return experiment_of("sweep", {**options, "edge": ""})


def _profiles(options: dict[str, Any]) -> list[LinkProfile]:
    from benchmarks.commands.grid import RTTS_MS, UPLINKS_MBPS, grid, parse_values
    from benchmarks.link.options import link_profile

    rtts = parse_values("--rtt", options["rtt"], RTTS_MS)
    uplinks = parse_values("--uplink", options["uplink"], UPLINKS_MBPS)
    names = ("jitter", "loss", "queue")
    base = link_profile(rtt=rtts[0], uplink=uplinks[0], **{name: options[name] for name in names})
    assert base is not None
    return grid(base, rtts, uplinks, options["downlink"])


def _make_folder(folder: Path) -> None:
    from common.errors import SettingsError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"can't make the folder {folder} ({error.strerror}): name another with --out") from error


def _progress(total: int, done: int) -> Any:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown() -> Any:
        with Progress(*_columns(), console=Console(stderr=True)) as progress:
            task = progress.add_task("sweep", total=total, completed=done)
            yield lambda name: progress.update(task, advance=1, description=f"sweep: {name} done")

    return shown()


def _columns() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def _print(record: Record) -> None:
    """For each paradigm: the median ratio of total times to `cloud_only` at every point."""
    from benchmarks.commands.tables import grid_table, make_console, plain

    console = make_console()
    for label in _labels(record):
        console.print(plain(f"{label}: total time over cloud_only's, paired medians"), style="bold")
        console.print(grid_table(_ratios(record, label)))
    for note in record.meta["notes"]:
        console.print(f"· {note}", style="dim")


def _labels(record: Record) -> list[str]:
    return [label for label in dict.fromkeys(run.label for run in record.runs) if label != "cloud_only"]


def _ratios(record: Record, label: str) -> Mapping[tuple[float, float], float | None]:
    from benchmarks.paradigms.statistics import Spread, paired_ratios

    ratios: dict[tuple[float, float], float | None] = {}
    for point in record.meta["points"]:
        link = point["link"]
        here = [run for run in record.runs if run.link == link]
        base = [run for run in here if run.label == "cloud_only"]
        spread = Spread.of(paired_ratios([r for r in here if r.label == label], base, lambda run: run.total_ms))
        ratios[link["rtt_ms"], link["uplink_mbps"]] = spread.median if spread is not None else None
    return ratios
