"""`eventspec-bench compare` and `replay`: all paradigms on one link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands.options import (
    AdapterOption,
    AheadRepetitionsOption,
    ClipsOption,
    DeviceOption,
    DrafterOption,
    DraftFormOption,
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
    link_profile,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.commands.experiment import Experiment
    from benchmarks.link.base import EmulatedLink
    from benchmarks.link.profile import LinkProfile
    from benchmarks.results import Record


def compare(
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
    adapter: AdapterOption = "",
    draft_form: DraftFormOption = "hidden",
    replay: ReplayOption = "",
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Compare the paradigms on one link: same clips, questions, seeds, link; all answers checked.

    Status 1 if lossless paradigms gave different token ids: then no figure counts.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    finish(_compare("compare", options), as_json, out)


def replay(
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="A shipped profile's name, or a TOML or JSON file.")],
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
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Compare with every model stage padded to measured times of larger models, so that a laptop shows their timeline.

    Same code, protocol and link as `compare`; the times of model stages are the profile's, and everything is labelled
    `replayed`. What isn't padded (transformers' own generation) is left out, and the notes say so.
    """
    options: dict[str, Any] = dict(locals())
    as_json, out = options.pop("as_json"), options.pop("out")
    finish(_compare("replay", {**options, "replay": options.pop("name"), "edge": ""}), as_json, out)


def _compare(command: str, options: dict[str, Any]) -> Record:
    from benchmarks.commands.experiment import progress_bar, run_experiment

    link = link_of(options)
    experiment = experiment_of(command, options)
    with opened_link(link, options) as up, progress_bar(experiment.size, command) as step:
        return run_experiment(experiment, up, step)


def link_of(options: dict[str, Any]) -> LinkProfile | None:
    """The link that the flags describe."""
    names = ("rtt", "uplink", "downlink", "jitter", "loss", "queue", "trace", "downlink_trace")
    return link_profile(options["profile"], **{name: options[name] for name in names})


def opened_link(profile: LinkProfile | None, options: dict[str, Any]) -> AbstractContextManager[EmulatedLink]:
    """The link, up for the time of the context; with `--edge` one that somebody else made."""
    from benchmarks.commands.elsewhere import ElsewhereLink
    from benchmarks.link.opening import open_link

    if options["edge"]:
        return ElsewhereLink(profile, str(options["backend"]))
    return open_link(profile, str(options["backend"]))


def experiment_of(command: str, options: dict[str, Any]) -> Experiment:
    """What the options describe, apart from the link."""
    from benchmarks.commands.experiment import Experiment, fit_to_layout, make_plan
    from benchmarks.paradigms.catalogue import ahead_notes, choose_paradigms, unavailable_notes

    layout = layout_of(options)
    chosen, notes = fit_to_layout(choose_paradigms(options["paradigm"]), layout)
    if not options["paradigm"]:
        notes += unavailable_notes()
    notes += ahead_notes(chosen)
    names = ("clips", "questions", "repetitions", "ahead_repetitions", "seed", "temperature", "max_tokens", "warm_up")
    return Experiment(command, make_plan(chosen, **{n: options[n] for n in names}), layout, notes=tuple(notes))


def layout_of(options: dict[str, Any]) -> Any:
    """How processes are laid out."""
    from benchmarks.paradigms.deployment import SHIPPED_ADAPTER, Layout, Models

    models = Models(
        options["model"], options["drafter"], options["device"], options["dtype"], threads=options["threads"]
    )
    shipped = SHIPPED_ADAPTER if options["model"] is None and options["drafter"] is None else ""
    adapter, form = options.get("adapter") or shipped, options.get("draft_form", "hidden")
    return Layout(
        models,
        options["replay"],
        options["share_edge"],
        edge_address=options["edge"],
        adapter=adapter,
        draft_form=form,
    )


def finish(record: Record, as_json: bool, out: Path | None) -> None:
    """Check, write, print."""
    from benchmarks.commands.tables import print_comparison

    check(record, out)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        print_comparison(record)


def check(record: Record, out: Path | None) -> None:
    """Write the record, and end with status 1 if lossless paradigms differ: it is kept as evidence, and says so."""
    from benchmarks.paradigms.losslessness import LosslessError, require_lossless
    from benchmarks.results import Record

    try:
        require_lossless(record.runs)
    except LosslessError as error:
        if out is not None:
            Record({**record.meta, "lossless": False}, record.runs).write(out)
        typer.echo(f"eventspec-bench: {error}", err=True)
        raise typer.Exit(1) from error
    if out is not None:
        record.write(out)
