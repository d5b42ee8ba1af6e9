"""`eventspec-bench capacity`: how many clients one cloud serves, by paradigm."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from benchmarks.commands.compare import check
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
    from benchmarks.commands.capacity_run import run_capacity
    from benchmarks.commands.capacity_tables import print_capacity

    record = run_capacity(options)
    check(record, out)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        print_capacity(record)
