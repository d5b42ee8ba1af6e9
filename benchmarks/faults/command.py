"""`eventspec-bench faults`: a seeded schedule of faults against real daemons; status 0 only if nothing is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.link.options import Backend, BackendOption, RttOption, UplinkOption

if TYPE_CHECKING:
    from benchmarks.faults.running import Outcome


def faults(
    count: Annotated[int, typer.Option(help="How many faults.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the schedule: the same seed, the same faults.")] = 0,
    only: Annotated[
        list[int] | None,
        typer.Option(metavar="INDEX", help="Only this fault of the schedule (may be given again), to replay it."),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only faults of this kind (may be given again).")
    ] = None,
    rtt: RttOption = 20.0,
    uplink: UplinkOption = 50.0,
    backend: BackendOption = Backend.AUTO,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON, after every fault, to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Strike a running pair with faults; hold every answer against the undisturbed one.

    Each answer must end token-identical, or finished alone and marked so, or in one clear failure, within 150 s
    beyond the fault. The same seed gives the same schedule; --only replays one of its faults.
    """
    from benchmarks.faults.rig import Rig
    from benchmarks.faults.running import leaks, run_faults
    from benchmarks.faults.schedule import Kind, make_schedule
    from benchmarks.faults.summary import page, summarize
    from benchmarks.link.opening import open_link
    from benchmarks.link.options import link_profile
    from common.errors import SettingsError

    known = [str(k) for k in Kind]
    for name in kind or ():
        if name not in known:
            raise SettingsError(f"there is no fault {name!r}; there are {', '.join(known)}")
    schedule = [
        f
        for f in make_schedule(max([count, *(i + 1 for i in only or ())]), seed)
        if (not only or f.index in only) and (not kind or str(f.kind) in kind)
    ]
    profile = link_profile(None, rtt=rtt, uplink=uplink)
    with open_link(profile, backend.value) as link:
        about = {"seed": seed, "count": count, "link": f"{link.backend}, RTT {rtt:g} ms, {uplink:g} Mbit/s"}
        seen: list[Outcome] = []

        def told(outcome: Outcome) -> None:
            seen.append(outcome)
            done = len(seen)
            typer.echo(
                f"{done}/{len(schedule)} #{outcome.fault.index} {outcome.fault.kind} {outcome.ending} "
                f"{outcome.seconds:.1f} s{' ' + '; '.join(outcome.trouble) if outcome.trouble else ''}",
                err=True,
            )
            if out is not None:
                out.write_text(json.dumps(summarize(seen, {}, about)) + "\n")

        with Rig(link) as rig:
            outcomes = run_faults(rig, schedule, told)
            leaked = leaks(rig)
    summary = summarize(outcomes, leaked, about)
    if out is not None:
        out.write_text(json.dumps(summary) + "\n")
    typer.echo(json.dumps(summary) if as_json else page(summary))
    bad = summary["wrong"] or summary["hung"] or summary["leaked_sessions"]
    raise typer.Exit(1 if bad else 0)
