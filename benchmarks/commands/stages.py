"""`eventspec-bench stages`: the five stages of both models on one timeline, their overlap, and free drafts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from benchmarks.commands.compare import check, experiment_of, link_of, opened_link
from benchmarks.commands.options import (
    AheadRepetitionsOption,
    ClipsOption,
    DeviceOption,
    DrafterOption,
    DtypeOption,
    EdgeOption,
    JsonOption,
    MaxTokensOption,
    ModelOption,
    OutOption,
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
    from collections.abc import Sequence

    from benchmarks.results import Record, Run


def stages(
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
    questions: QuestionsOption = 6,
    repetitions: RepetitionsOption = 3,
    ahead_repetitions: AheadRepetitionsOption = 1,
    warm_up: WarmUpOption = 2,
    seed: SeedOption = 0,
    temperature: TemperatureOption = 0.0,
    max_tokens: MaxTokensOption = 64,
    model: ModelOption = None,
    drafter: DrafterOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = 1,
    clips: ClipsOption = None,
    edge: EdgeOption = "",
    share_edge: ShareEdgeOption = False,
    replay: ReplayOption = "",
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Show load, preprocess, vision encode, prefill and decode of drafter and target, and what is hidden behind what.

    By default of cloud_only and stream_to_cloud.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    options["paradigm"] = options["paradigm"] or ["cloud_only", "stream_to_cloud"]
    from benchmarks.commands.experiment import progress_bar, run_experiment

    experiment = experiment_of("stages", options)
    with opened_link(link_of(options), options) as link, progress_bar(experiment.size, "stages") as step:
        record = run_experiment(experiment, link, step)
    check(record, out)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        print_stages(record)


def print_stages(record: Record) -> None:
    """A table a paradigm, and its overlap."""
    from benchmarks.commands.tables import headline, make_console, plain
    from benchmarks.paradigms.statistics import by_label

    console = make_console()
    console.print(plain(headline(record)), style="bold")
    console.print("milliseconds since the question, by the edge's clock: median (quartiles)")
    for label, runs in by_label(record.runs).items():
        console.print()
        console.print(plain(label), style="bold")
        console.print(_table(runs))
        for line in overlap_lines(runs):
            console.print(line)
    for note in record.meta["notes"]:
        console.print(f"· {note}", style="dim")


def _table(runs: Sequence[Run]) -> Any:
    from rich import box
    from rich.table import Table

    from benchmarks.commands.tables import plain, spread_text
    from benchmarks.paradigms.five_stages import stage_figures

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model")
    table.add_column("stage")
    for name in ("starts", "ends", "at work"):
        table.add_column(name, justify="right")
    for figures in stage_figures(runs):
        times = (figures.start_ms, figures.end_ms, figures.busy_ms)
        table.add_row(plain(figures.model), plain(figures.stage), *(spread_text(time, 1) for time in times))
    return table


def overlap_lines(runs: Sequence[Run]) -> list[str]:
    """Overlap and free drafts in words; none for paradigms with one model only."""
    from benchmarks.commands.tables import spread_text
    from benchmarks.paradigms.five_stages import overlap
    from benchmarks.paradigms.statistics import Spread

    found = [one for one in map(overlap, runs) if one is not None]
    if not found:
        return []
    free = Spread.of(None if one.free_drafts is None else float(one.free_drafts) for one in found)
    estimated = Spread.of(None if one.estimated is None else float(one.estimated) for one in found)
    hidden = Spread.of(one.hidden for one in found)
    overlap_ms = Spread.of(one.overlap_ms for one in found)
    assert hidden is not None
    return [
        f"target's prefill done after the drafter's: {spread_text(overlap_ms, 1)} ms",
        f"drafted in that time: {spread_text(free, 1)} tokens; room for {spread_text(estimated, 1)} (overlap over the "
        "drafter's time a token)",
        f"of the drafter's work, {hidden.median:.0%} lay beside the upload or the target's work",
    ]
