"""`eventspec-bench simulate`: its flags. What it needs is imported when it runs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.link.options import (
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
from common.errors import SettingsError


class Drafting(StrEnum):
    """Who chooses draft lengths where none is given."""

    CONTROLLER = "controller"
    SEPARATE = "separate"
    HEURISTIC = "heuristic"


def simulate(
    replay: Annotated[str, typer.Option(metavar="PROFILE", help="Stage times: a shipped profile, or a file.")] = "",
    clients: Annotated[str, typer.Option(metavar="N[,N...]", help="Sizes of the fleet.")] = "1,10,100",
    paradigm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="cloud_only, stream_to_cloud/tokens-eager, .../tokens-patient, .../tokens-auto. [all but auto]",
        ),
    ] = None,
    profile: ProfileOption = None,
    rtt: RttOption = None,
    uplink: UplinkOption = None,
    downlink: DownlinkOption = None,
    jitter: JitterOption = None,
    loss: LossOption = None,
    queue: QueueOption = None,
    trace: TraceOption = None,
    downlink_trace: DownlinkTraceOption = None,
    acceptance: Annotated[
        str,
        typer.Option(metavar="CHANCE|FILE", help="Of a draft token: a number, figures, results. [the tiny pair's]"),
    ] = "",
    like: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Results whose questions are asked, with their acceptance.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Mean length of made up answers.")] = 24,
    video_kb: Annotated[float, typer.Option(min=0.1, help="Size of a made up video.")] = 500.0,
    duration: Annotated[float, typer.Option(metavar="S", help="Virtual seconds in which questions are asked.")] = 60.0,
    warm_up: Annotated[float, typer.Option(metavar="S", help="Of which the first ones don't count.")] = 10.0,
    think: Annotated[float, typer.Option(metavar="S", help="Mean pause of a client between questions.")] = 10.0,
    rate: Annotated[
        float | None, typer.Option(metavar="PER_MIN", help="Instead: a client's questions a minute, at random times.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Sessions that a cloud holds at a time.")] = 8,
    clouds: Annotated[int, typer.Option(min=1, help="Equal clouds that share the clients.")] = 1,
    clients_per_edge: Annotated[int, typer.Option(min=1, help="Clients that share a drafter and a link.")] = 1,
    shared_link: Annotated[bool, typer.Option("--shared-link", help="One link for all, not one for each.")] = False,
    draft_length: Annotated[int, typer.Option(min=0, help="Tokens a draft; 0: adaptive.")] = 0,
    drafting: Annotated[
        Drafting,
        typer.Option(
            help="Adaptive lengths by the edges' controllers, which learn together; each by itself (slow); a heuristic."
        ),
    ] = Drafting.CONTROLLER,
    max_ahead: Annotated[int, typer.Option(min=1, help="Drafted tokens beyond the committed ones.")] = 16,
    branches: Annotated[int, typer.Option(min=0, help="Other words that an idle drafter tries at a place.")] = 0,
    patience: Annotated[int, typer.Option(min=0, max=5000, metavar="MS", help="How long tokens-patient waits.")] = 200,
    load: Annotated[float, typer.Option(min=0, metavar="MS", help="Reading a recording, beyond the profile.")] = 30.0,
    hop: Annotated[float, typer.Option(min=0, metavar="MS", help="Software's share of each message's way.")] = 1.0,
    ttft: Annotated[float, typer.Option(metavar="MS", help="Objective of goodput: time to first token.")] = 2000.0,
    tpot: Annotated[float, typer.Option(metavar="MS", help="Objective of goodput: time per token.")] = 100.0,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
    most_runs: Annotated[int, typer.Option(min=0, help="Answers kept as runs, of each fleet.")] = 2000,
    validate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead: hold the model against replayed results; status 1 beyond 10 %."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results there, too.")] = None,
) -> None:
    """Simulate a fleet in virtual time: the real protocol code, replayed stage times, a modelled link.

    Needs --replay, or --validate with results of `replay`, `capacity --replay` or `compare --replay`.
    """
    if validate is not None:
        from benchmarks.simulation.validation import validate_file

        raise typer.Exit(validate_file(validate, as_json=as_json, controller=drafting is not Drafting.HEURISTIC))
    from benchmarks.simulation.choices import arrivals_of, client_counts, modes_of, questions_of
    from benchmarks.simulation.costs import Costs
    from benchmarks.simulation.fleet import Deployment
    from benchmarks.simulation.link import LinkFigures
    from benchmarks.simulation.running import Plan, tokens_per_frame
    from benchmarks.simulation.running import simulate as run_plan
    from benchmarks.simulation.summary import Objectives
    from benchmarks.simulation.table import print_fleets
    from common.replay import load_profile, shipped_profiles

    if not replay:
        raise SettingsError(f"name stage times with --replay: a file, or one of {', '.join(shipped_profiles())}")
    if not 0 <= warm_up < duration:
        raise SettingsError(f"--warm-up must be from 0 to below --duration, not {warm_up:g} of {duration:g}")
    link = link_profile(
        profile,
        rtt=rtt,
        uplink=uplink,
        downlink=downlink,
        jitter=jitter,
        loss=loss,
        queue=queue,
        trace=trace,
        downlink_trace=downlink_trace,
    )
    times = load_profile(replay)
    deployment = Deployment(
        Costs(times, load_s=load / 1e3, hop_s=hop / 1e3),
        LinkFigures.of(link),
        slots=slots,
        clouds=clouds,
        max_ahead=max_ahead,
        clients_per_edge=clients_per_edge,
        shared_link=shared_link,
        shared_knowledge=drafting is Drafting.CONTROLLER,
        tokens_per_frame=tokens_per_frame(times.target.prompt_tokens, times.video.frames),
    )
    plan = Plan(
        modes_of(paradigm, draft_length, patience, drafting is not Drafting.HEURISTIC, branches),
        client_counts(clients),
        deployment,
        questions_of(acceptance, like, deployment, tokens, round(video_kb * 1000), seed),
        link,
        arrivals_of(think, rate, warm_up),
        Objectives(ttft, tpot),
        duration,
        warm_up,
        seed,
        most_runs,
    )
    record, summaries = run_plan(plan, lambda text: typer.echo(text, err=True))
    if out is not None:
        record.write(out)
    if as_json:
        typer.echo(json.dumps(record.as_dict()))
    else:
        print_fleets(summaries, plan.objectives)
