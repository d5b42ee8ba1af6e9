"""`eventspec-bench link`: check what a link gives, run a command behind one, list the named ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from benchmarks.link import options
from benchmarks.link.measure import Measured, deviations, measure_link
from benchmarks.link.opening import open_link
from benchmarks.link.presets import PRESETS
from benchmarks.link.profile import LinkProfile
from benchmarks.link.running import check_forward, forwarded, run_behind
from common.cli import make_group
from common.errors import SettingsError

app = make_group("Emulated links between an edge and a cloud: what they give, and running a command behind one.")


@app.command()
def check(
    profile: options.ProfileOption = None,
    rtt: options.RttOption = None,
    uplink: options.UplinkOption = None,
    downlink: options.DownlinkOption = None,
    jitter: options.JitterOption = None,
    loss: options.LossOption = None,
    queue: options.QueueOption = None,
    trace: options.TraceOption = None,
    downlink_trace: options.DownlinkTraceOption = None,
    backend: options.BackendOption = options.Backend.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure what a backend really gives (about half a minute); status 1 if it isn't what the profile says."""
    emulated = options.link_profile(
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
    if emulated is None:
        raise SettingsError("say which link: --profile NAME, or --rtt and --uplink (`link profiles` lists the names)")
    if backend is options.Backend.LOOPBACK:
        raise SettingsError("loopback emulates nothing, so there is nothing to check")
    with open_link(emulated, backend) as link:
        measured = measure_link(link, quick=False, say=lambda text: typer.echo(f"  {text}", err=True))
        name, notes = link.backend, link.notes
    wrong = deviations(emulated, measured)
    if as_json:
        typer.echo(json.dumps({"profile": emulated.as_dict(), "backend": name, "measured": measured.as_dict()}))
    else:
        _print_check(emulated, name, measured, notes)
    for sentence in wrong:
        typer.echo(sentence, err=True)
    raise typer.Exit(1 if wrong else 0)


def _print_check(profile: LinkProfile, backend: str, measured: Measured, notes: Sequence[str]) -> None:
    typer.echo(f"{profile.name} by {backend}\n")
    rows = (
        ("round trip p50, ms", profile.rtt_ms, measured.rtt_p50_ms),
        ("round trip p99, ms", profile.rtt_p99_ms, measured.rtt_p99_ms),
        ("uplink, Mbit/s", profile.uplink_mbps, measured.uplink_mbps),
        ("downlink, Mbit/s", profile.downlink_mbps, measured.downlink_mbps),
        ("loss, %", profile.loss_pct, measured.loss_pct),
    )
    typer.echo(f"{'':20}{'profile':>12}{'measured':>12}")
    for name, wanted, value in rows:
        typer.echo(f"{name:20}{wanted:12.2f}{'-' if value is None else format(value, '.2f'):>12}")
    typer.echo("")
    for note in (f"rates by {measured.rates_by}, headers included", *notes):
        typer.echo(f"- {note}")


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="{cloud} in it is the cloud's address.")
    ],
    profile: options.ProfileOption = None,
    rtt: options.RttOption = None,
    uplink: options.UplinkOption = None,
    downlink: options.DownlinkOption = None,
    jitter: options.JitterOption = None,
    loss: options.LossOption = None,
    queue: options.QueueOption = None,
    trace: options.TraceOption = None,
    downlink_trace: options.DownlinkTraceOption = None,
    backend: options.BackendOption = options.Backend.AUTO,
    forward: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="A cloud to reach over the link (again for more). [127.0.0.1:50051]"),
    ] = None,
) -> None:
    """Run a command on the edge's side of a link; its status is the command's.

    The cloud's address behind the link takes the place of {cloud}, and is in the environment as EVENTSPEC_LINK_CLOUD
    and EVENTSPEC_EDGE_CLOUD (the edge daemon's setting). With tun and netem the command has no other network than the
    link; an edge daemon in it should listen on unix:PATH, so that others can ask it.
    """
    emulated = options.link_profile(
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
    addresses = [check_forward(address) for address in forward or ["127.0.0.1:50051"]]
    with open_link(emulated, backend) as link, forwarded(link, addresses) as clouds:
        name = emulated.name if link.profile is not None and emulated is not None else "nothing emulated"
        ways = ", ".join(f"{cloud} leads to {address}" for cloud, address in zip(clouds, addresses, strict=True))
        typer.echo(f"link: {name} by {link.backend}; {ways}", err=True)
        for note in link.notes:
            typer.echo(f"link: {note}", err=True)
        status = run_behind(link, command, clouds)
    raise typer.Exit(status)


@app.command()
def profiles(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """List the named links, with where their figures come from."""
    if as_json:
        typer.echo(json.dumps({name: profile.as_dict() for name, profile in PRESETS.items()}))
        return
    typer.echo(f"{'name':14}{'RTT ms':>8}{'jitter':>8}{'up Mbit/s':>11}{'down':>7}{'loss %':>8}  source")
    for name, p in PRESETS.items():
        figures = f"{p.rtt_ms:8g}{p.jitter_ms:8g}{p.uplink_mbps:11g}{p.downlink_mbps:7g}{p.loss_pct:8g}"
        typer.echo(f"{name:14}{figures}  {p.source}")
