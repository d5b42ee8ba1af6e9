"""`eventspec-bench regret`: its flags. What it needs is imported when it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.commands.options import JsonOption, OutOption
from common.errors import SettingsError

if TYPE_CHECKING:
    from benchmarks.regret import Regret

_INGESTS = {"upload": [False], "ahead": [True], "both": [False, True]}


def regret(
    replay: Annotated[
        list[str] | None,
        typer.Option(metavar="PROFILE", help="Stage times: shipped ones, files, equal-speeds, tiny. [all]"),
    ] = None,
    rtt: Annotated[str, typer.Option(metavar="MS[,MS...]", help="Round trips.")] = "5,20,50,100,200",
    uplink: Annotated[str, typer.Option(metavar="MBPS[,MBPS...]", help="Rates.")] = "2,5,20,100",
    ingest: Annotated[
        str, typer.Option(help="upload: the video comes with the question; ahead: before it; both.")
    ] = "both",
    acceptance: Annotated[
        str, typer.Option(metavar="CHANCE|FILE", help="Of a draft token: a number, figures, results. [the tiny pair's]")
    ] = "",
    answers: Annotated[int, typer.Option(min=2, help="Questions a setting, the first eight not counted.")] = 32,
    tokens: Annotated[int, typer.Option(min=2, help="Mean length of an answer.")] = 32,
    max_ahead: Annotated[int, typer.Option(min=1, help="Drafted tokens beyond the committed ones.")] = 16,
    branches: Annotated[
        int, typer.Option(min=0, help="Also ask the controller with outcome branches: words tried at a place.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Hold the controller against every fixed setting, in virtual time; status 1 if it misses a bar somewhere."""
    from benchmarks.regret import Load, default_profiles, grid, measure
    from benchmarks.simulation.acceptance import read_acceptance
    from common.shipped import shipped_clips

    if ingest not in _INGESTS:
        raise SettingsError(f"--ingest is one of {', '.join(_INGESTS)}, not {ingest}")
    chances = read_acceptance(acceptance or str(shipped_clips().parent / "figures.json"))
    load = Load(
        chances,
        answers=answers,
        warm_up=min(8, answers // 2),
        tokens=tokens,
        max_ahead=max_ahead,
        branches=branches,
        seed=seed,
    )
    points = grid(replay or default_profiles(), _numbers(rtt, "--rtt"), _numbers(uplink, "--uplink"), _INGESTS[ingest])
    found = measure(points, load, lambda one: typer.echo(_line(one), err=True))
    values = {
        "command": "regret",
        "acceptance": acceptance or "tiny pair",
        "answers": answers,
        "tokens": tokens,
        "max_ahead": max_ahead,
        "branches": branches,
        "seed": seed,
        "points": [one.as_dict() for one in found],
    }
    if out is not None:
        out.write_text(json.dumps(values) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(values))
    else:
        _print(found)
    raise typer.Exit(0 if all(one.reached for one in found) else 1)


def _numbers(text: str, flag: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise SettingsError(f"{flag} takes numbers with commas between them, not {text!r}") from error
    if not all(value > 0 for value in values):
        raise SettingsError(f"{flag} takes numbers above 0, not {text}")
    return values


def _line(one: Regret) -> str:
    p = one.point
    where = f"{p.profile}, {'ahead' if p.ahead else 'upload'}, {p.rtt_ms:g} ms, {p.uplink_mbps:g} Mbit/s"
    return f"{where}: {one.regret * 100:+.1f} % of {one.best}"


def _hit_rate(one: Regret) -> str:
    asked = one.branch_hits + one.branch_misses
    return f"{one.branch_hits / asked:.0%}" if asked else "-"


def _print(found: Sequence[Regret]) -> None:
    from rich import box
    from rich.table import Table

    from benchmarks.simulation.table import make_console, percent

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    names = (
        "profile",
        "ingest",
        "RTT\nms",
        "uplink\nMbit/s",
        "alone\nms",
        "best\nsetting",
        "best\nms",
        "controller\nms",
    )
    for name in (*names, "regret", "of\nmeans", "with\nbranches", "hit", "pace", "off", "said\ngain", ""):
        table.add_column(name, justify="left" if name in ("profile", "ingest", "best\nsetting", "pace") else "right")
    for one in found:
        p = one.point
        table.add_row(
            p.profile,
            "ahead" if p.ahead else "upload",
            f"{p.rtt_ms:g}",
            f"{p.uplink_mbps:g}",
            f"{one.alone_ms:.0f}",
            one.best,
            f"{one.best_ms:.0f}",
            f"{one.controller_ms:.0f}",
            f"{one.regret * 100:+.1f} %",
            f"{one.mean_regret * 100:+.1f} %",
            f"{(one.branches_mean - 1) * 100:+.1f} %" if one.branches_mean is not None else "-",
            _hit_rate(one),
            one.pace,
            percent(one.off_share),
            f"{one.gain:.2f}" if one.gain is not None else "-",
            "" if one.reached else "missed",
        )
    console = make_console()
    console.print(table)
    worst = max(found, key=lambda one: one.regret)
    missed = sum(not one.reached for one in found)
    console.print(f"worst: {_line(worst)}; {missed} of {len(found)} points miss a bar. Medians of total times.")
