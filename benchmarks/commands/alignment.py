"""`eventspec-bench alignment`: what each form of drafts is worth in the running pair."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.commands.options import JsonOption, RepetitionsOption, ThreadsOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.alignment.ways import Way
    from benchmarks.alignment.worth import Worth
    from benchmarks.results import Run
    from common.types import Pace


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
    scenes: Annotated[int, typer.Option(min=1, help="Held-out clips, drawn for this run.")] = 20,
    questions: Annotated[int, typer.Option(min=1, help="Questions about each, those with the longest answers.")] = 3,
    draft_length: Annotated[int, typer.Option(min=0, help="Tokens a draft; 0: adaptive (with --daemons).")] = 5,
    pace: Annotated[str, typer.Option(help="eager or patient.")] = "patient",
    daemons: Annotated[
        bool, typer.Option("--daemons", help="Ask running daemons, for times; without, all in one process, no times.")
    ] = False,
    repetitions: RepetitionsOption = 1,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Acceptance by word class, tokens a verification, bytes and time of each form of drafts, on held-out clips.

    Every question is asked of all ways in turn. With --daemons each has daemons of its own. Status 1 if answers differ.
    """
    from benchmarks.alignment.ways import ways_of
    from benchmarks.alignment.worth import worth_of
    from benchmarks.paradigms.losslessness import differences
    from benchmarks.report.word_classes import shipped_classifier
    from common.types import Pace

    ways = ways_of(adapter or ([] if across else ["tiny-L5F"]), form or [], across or [])
    asked = _Asked(ways, Pace(pace), draft_length, repetitions)
    runs = _of_daemons(asked, scenes, questions, threads) if daemons else _in_process(asked, scenes, questions, threads)
    every = [run for rows in runs.values() for run in rows]
    wrong, classify = differences(every), shipped_classifier(every)
    found = [worth_of(way.label, runs[way], runs[ways[0]], classify) for way in ways]
    if as_json:
        about = {"scenes": scenes, "questions": len(every) // len(ways), "pace": pace, "draft_length": draft_length}
        body = {**about, "daemons": daemons, "identical": not wrong, "ways": [worth.as_dict() for worth in found]}
        typer.echo(json.dumps(body))
    else:
        _print(found, [str(one) for one in wrong])
    raise typer.Exit(1 if wrong else 0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every question is asked with."""

    ways: Sequence[Way]
    pace: Pace
    draft_length: int
    repetitions: int

    def turns(self, count: int) -> Iterator[tuple[int, int, Way]]:
        """Repetition, question and way: each question of all ways in turn, each time another one first."""
        from rich.console import Console
        from rich.progress import track

        pairs = [(number, at) for number in range(self.repetitions) for at in range(count)]
        for number, at in track(pairs, "asking", console=Console(stderr=True), transient=True):
            first = (at + number) % len(self.ways)
            for way in (*self.ways[first:], *self.ways[:first]):
                yield number, at, way


def _in_process(asked: _Asked, scenes: int, questions: int, threads: int) -> dict[Way, list[Run]]:
    import torch

    from benchmarks.alignment.in_process import InProcess
    from common.errors import SettingsError

    if not asked.draft_length:
        raise SettingsError("without --daemons drafts have a fixed length: --draft-length 1 or more")
    torch.set_num_threads(threads)
    pair = InProcess()
    found = pair.questions(scenes, questions)
    serving = {way: pair.serving(way) for way in asked.ways}
    runs: dict[Way, list[Run]] = {way: [] for way in asked.ways}
    for number, at, way in asked.turns(len(found)):
        runs[way].append(serving[way].answer(found[at], asked.pace, asked.draft_length, repetition=number))
    return runs


def _of_daemons(asked: _Asked, scenes: int, questions: int, threads: int) -> dict[Way, list[Run]]:
    from tempfile import TemporaryDirectory

    from benchmarks.alignment.clips import held_out_clips
    from benchmarks.alignment.ways import serving
    from benchmarks.asking import ask_clip
    from benchmarks.results import run_of_report
    from common.ask import Mode

    mode = Mode.STREAM_TO_CLOUD
    runs: dict[Way, list[Run]] = {way: [] for way in asked.ways}
    with TemporaryDirectory(prefix="eventspec-clips-") as folder:
        clips = held_out_clips(Path(folder), scenes, questions)
        with serving(asked.ways, threads) as edges:
            for way in asked.ways:  # each daemon's first answer is slower
                ask_clip(edges[way], clips[0], mode, pace=asked.pace, draft_length=asked.draft_length)
            for number, at, way in asked.turns(len(clips)):
                clip = clips[at]
                report = ask_clip(edges[way], clip, mode, pace=asked.pace, draft_length=asked.draft_length)
                known = {"clip": clip.clip, "question": clip.question, "repetition": number, "expected": clip.expected}
                run = run_of_report(report, paradigm="stream_to_cloud", link={}, backend="loopback", **known)
                runs[way].append(run)
    return runs


def _print(found: Sequence[Worth], wrong: Sequence[str]) -> None:
    from rich import box
    from rich.table import Table

    from benchmarks.commands.tables import make_console

    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("drafts", no_wrap=True)
    for name in ("accepted", "of", "tokens a\nverification", "passes\na token", "bytes a\ntoken", "time\nx ids"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.label,
            _text(one.acceptance, ".1%"),
            str(one.checked),
            _text(one.mean_length, ".2f"),
            _text(one.passes_a_token, ".3f"),
            _text(one.bytes_a_token, ".0f"),
            _text(one.time_ratio, ".2f"),
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


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
