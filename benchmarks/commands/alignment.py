"""`eventspec-bench alignment`: what each form of drafts is worth in the running pair."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands.options import (
    JsonOption,
    RepetitionsOption,
    ReplayOption,
    SeedOption,
    TemperatureOption,
    ThreadsOption,
)
from benchmarks.link.options import Backend, BackendOption, ProfileOption, RttOption, UplinkOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.alignment.worth import Worth


def alignment(
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            metavar="DIR",
            help="Adapter, by folder or name (may be given again). [tiny-L5F; none with --across]",
        ),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option("--form", help="Only this form (may be given again): hidden, int8, codes, mirror. [all]"),
    ] = None,
    across: Annotated[
        list[str] | None,
        typer.Option(
            "--across",
            help="Also the shipped drafter of another vocabulary: text or pieces (may be given again). [none]",
        ),
    ] = None,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            "--drafter",
            metavar="DIR",
            help="Also a drafter in the shipped one's place, such as one that `eventspec-train lora` tuned. [none]",
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Held-out clips, drawn for this run.")] = 20,
    questions: Annotated[int, typer.Option(min=1, help="Questions about each, those with the longest answers.")] = 3,
    draft_length: Annotated[int, typer.Option(min=0, help="Tokens a draft; 0: adaptive (with --daemons).")] = 5,
    pace: Annotated[
        str, typer.Option(help="eager, patient, or auto: as the edge's controller chooses (with --daemons).")
    ] = "patient",
    temperature: TemperatureOption = 0.0,
    seed: SeedOption = 0,
    daemons: Annotated[
        bool,
        typer.Option(
            "--daemons", help="Ask running daemons, for times, and the cloud alone too; without, all in one process."
        ),
    ] = False,
    profile: ProfileOption = None,
    rtt: RttOption = None,
    uplink: UplinkOption = None,
    backend: BackendOption = Backend.AUTO,
    replay: ReplayOption = "",
    watched: Annotated[
        bool,
        typer.Option("--watched", help="Each clip has been taken in before its question comes (with --daemons)."),
    ] = False,
    repetitions: RepetitionsOption = 1,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Acceptance by word class, tokens a verification, bytes and time of each form of drafts, on held-out clips.

    Every question is asked of all ways in turn. With --daemons each has daemons of its own, on the two sides of a link
    if one is described. Status 1 if answers differ.
    """
    from benchmarks.alignment.asking import Asked, in_process, of_daemons
    from benchmarks.alignment.ways import ALONE, ways_of
    from benchmarks.alignment.worth import worth_of
    from benchmarks.link.options import link_profile
    from benchmarks.paradigms.losslessness import differences
    from benchmarks.report.word_classes import shipped_classifier
    from common.errors import SettingsError
    from common.types import Pace, SamplingParams

    ways = ways_of(adapter or ([] if across or drafter else ["tiny-L5F"]), form or [], across or [], drafter or [])
    link = link_profile(profile, rtt=rtt, uplink=uplink)
    if (link is not None or replay or watched) and not daemons:
        raise SettingsError("a link, --replay and --watched are about daemons: add --daemons")
    ways += [ALONE] if daemons else []
    asked = Asked(
        ways,
        scenes,
        questions,
        None if pace == "auto" else Pace(pace),
        draft_length,
        repetitions,
        SamplingParams(temperature, seed=seed),
        threads,
    )
    runs = (
        of_daemons(asked, link, backend=str(backend), replay=replay, watched=watched) if daemons else in_process(asked)
    )
    every = [run for rows in runs.values() for run in rows]
    wrong, classify = differences(every), shipped_classifier(every)
    alone = runs.get(ALONE, [])
    found = [worth_of(way.label, runs[way], runs[ways[0]], classify, alone) for way in ways]
    if as_json:
        about = {"scenes": scenes, "questions": len(every) // len(ways), "pace": pace, "draft_length": draft_length}
        about |= {"link": link.as_dict() if link else {}, "replayed": replay, "watched": watched}
        about |= {"temperature": temperature, "seed": seed}
        body = {**about, "daemons": daemons, "identical": not wrong, "ways": [worth.as_dict() for worth in found]}
        typer.echo(json.dumps(body))
    else:
        _print(found, [str(one) for one in wrong])
    raise typer.Exit(1 if wrong else 0)


def _print(found: Sequence[Worth], wrong: Sequence[str]) -> None:
    from rich import box
    from rich.table import Table

    from benchmarks.commands.tables import make_console

    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("drafts", no_wrap=True)
    for name in (
        "accepted",
        "of",
        "tokens a\nverification",
        "passes\na token",
        "bytes a\ntoken",
        "time\nx ids",
        "x cloud\nalone",
    ):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.label,
            _text(one.acceptance, ".1%"),
            str(one.checked),
            _text(one.mean_length, ".2f"),
            _text(one.passes_a_token, ".3f"),
            _text(one.bytes_a_token, ".0f"),
            _times(one),
            _text(one.alone_ratio, ".2f"),
        )
    console.print(table)
    for title, counts in (("class of word", "by_class"), ("place in the draft", "by_place")):
        console.print(_counts(title, found, counts))
    console.print("\n".join(wrong) if wrong else "all answers identical")


def _counts(title: str, found: Sequence[Worth], which: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title, *(one.label for one in found), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in sorted({name for one in found for name in getattr(one, which)}):
        cells = [getattr(one, which).get(name) for one in found]
        table.add_row(name, *(f"{cell[0] / cell[1]:.1%} of {cell[1]}" if cell else "-" for cell in cells))
    return table


def _times(one: Worth) -> str:
    if one.time_ratio is None or one.time_quartiles is None:
        return "-"
    return f"{one.time_ratio:.2f} ({one.time_quartiles[0]:.2f}-{one.time_quartiles[1]:.2f})"


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
