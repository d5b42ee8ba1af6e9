"""`eventspec-bench soak`: the pair under mixed load and faults; status 0 only if nothing grew, leaked or lied."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.link.options import Backend, BackendOption, RttOption, UplinkOption


def soak(
    minutes: Annotated[float, typer.Option(help="How long.")] = 15.0,
    clients: Annotated[int, typer.Option(help="Askers at the same time.")] = 3,
    seed: Annotated[int, typer.Option(help="Of questions and faults.")] = 0,
    rtt: RttOption = 20.0,
    uplink: UplinkOption = 50.0,
    backend: BackendOption = Backend.AUTO,
    out: Annotated[Path | None, typer.Option(help="Folder for soak.json and soak.png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask without pause, inject faults at random, and watch what every process uses.

    Faults that kill a daemon are left to `eventspec-bench faults`: a new process begins its figures anew.
    """
    from benchmarks.faults.judge import Ending
    from benchmarks.faults.rig import Rig
    from benchmarks.faults.running import leaks
    from benchmarks.link.opening import open_link
    from benchmarks.link.options import link_profile
    from benchmarks.soak.growth import as_dict, growths
    from benchmarks.soak.plots import draw
    from benchmarks.soak.running import soak as run

    with open_link(link_profile(None, rtt=rtt, uplink=uplink), backend.value) as link, Rig(link) as rig:
        soaked = run(rig, minutes * 60, clients, seed, lambda text: typer.echo(text, err=True))
        leaked = leaks(rig)
    found = growths(soaked.samples)
    bad = soaked.endings[Ending.WRONG] + soaked.endings[Ending.HUNG]
    result: dict[str, Any] = {
        "minutes": minutes,
        "clients": clients,
        "seed": seed,
        "answers": {str(e): soaked.endings[e] for e in Ending},
        "faults": dict(soaked.faults),
        "growths": [{**asdict(g), "grew": g.grew} for g in found],
        "leaked": leaked,
        "notes": soaked.notes,
        "samples": as_dict(soaked.samples),
    }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "soak.json").write_text(json.dumps(result) + "\n")
        draw(soaked.samples, out / "soak.png")
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _print(result)
    died = [note for note in soaked.notes if note.startswith("died")]
    raise typer.Exit(1 if bad or leaked or died or any(g.grew for g in found) else 0)


def _print(result: dict[str, Any]) -> None:
    answers = ", ".join(f"{count} {name}" for name, count in result["answers"].items() if count)
    typer.echo(f"{result['minutes']:g} minutes, {sum(result['faults'].values())} faults; answers: {answers}")
    for growth in result["growths"]:
        mark = "  GREW" if growth["grew"] else ""
        typer.echo(
            f"{growth['process']:8} {growth['what']:12} {growth['before']:9.1f} -> {growth['after']:9.1f}"
            f"  (allowed +{growth['allowed']:.1f}){mark}"
        )
    typer.echo(f"sessions left: {result['leaked'] or 'none'}")
    for note in result["notes"]:
        typer.echo(note)
