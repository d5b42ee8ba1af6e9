"""`eventspec-bench demo`: an edge and a cloud on this machine, a handful of questions, and what each answer cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.asking import Values, ask_clip
from benchmarks.clips import ClipQuestion, load_questions, spread
from benchmarks.commands.tables import plain
from benchmarks.processes import Pair, running_pair
from common.ask import Answer, AskEvent, Mode, Notice
from edge.display import answer_text

_COLUMNS = (
    "TTFT\nms",
    "TPOT\nms",
    "total\nms",
    "tokens",
    "drafted",
    "accep-\nted",
    "rate",
    "length",
    "passes",
    "roll-\nbacks",
    "up:\nvideo",
    "up:\ndrafts",
    "up:\ncontrol",
    "down",
)


def make_console() -> Console:
    """A console wide enough for the table, also where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=150)


class Timeline:
    """Shows an answer as it comes: a line whenever it has changed, provisional text dim and in brackets."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def show(self, event: AskEvent) -> None:
        """Take an event in."""
        if isinstance(event, Notice):
            self._console.print(plain(f"      · {event.text}"), style="yellow")
        if not isinstance(event, Answer):
            return
        text = answer_text(event)
        if text.plain != self._last:
            self._last = text.plain
            self._console.print(Text(f"{event.at_ms:6.0f} ms  ", style="dim") + text)


def run_demo(count: int = 8) -> int:
    """The demo; returns an exit status: 0 if every answer equals the cloud's own."""
    console = make_console()
    questions = spread(load_questions(), count)
    console.print("starting a cloud daemon (the target) and an edge daemon (the drafter) on this machine ...")
    started = time.monotonic()
    with running_pair() as pair:
        console.print(
            f"cloud on {pair.cloud.address}, edge on {pair.edge.address}, ready after "
            f"{time.monotonic() - started:.0f} s\n"
        )
        console.print("Text in ⟨brackets⟩ is provisional: drafted at the edge, not yet confirmed by the cloud.\n")
        for mode in (Mode.STREAM_TO_CLOUD, Mode.CLOUD_ONLY):  # the first question of a process pays for its warm-up
            ask_clip(pair.edge.address, questions[0], mode)
        results = [_ask_both(console, pair, number, question) for number, question in enumerate(questions, start=1)]
    _print_table(console, questions, results)
    different = sum(stream["token_ids"] != alone["token_ids"] for stream, alone in results)
    if different:
        console.print(f"[bold red]{different} answers differ from the cloud's own: this is a bug[/]")
        return 1
    console.print(f"All {len(results)} answers are token for token what the cloud model says alone.")
    return 0


def _ask_both(console: Console, pair: Pair, number: int, clip: ClipQuestion) -> tuple[Values, Values]:
    console.print(plain(f"{number} {clip.clip}: {clip.question}"), style="bold")
    stream = ask_clip(pair.edge.address, clip, Mode.STREAM_TO_CLOUD, show=Timeline(console).show)
    alone = ask_clip(pair.edge.address, clip, Mode.CLOUD_ONLY)
    if clip.expected is not None and stream["answer"].strip() != clip.expected.strip():
        console.print(plain(f"           (the scene's truth: {clip.expected})"), style="yellow")
    console.print()
    return stream, alone


def _print_table(console: Console, questions: Sequence[ClipQuestion], results: Sequence[tuple[Values, Values]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("question", no_wrap=True)
    table.add_column("paradigm", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for number, (clip, (stream, alone)) in enumerate(zip(questions, results, strict=True), start=1):
        table.add_row(plain(f"{number} {clip.clip}"), stream["mode"], *_cells(stream))
        table.add_row("", alone["mode"], *_cells(alone), end_section=True)
    console.print("[bold]What each answer cost[/], by the edge's clock")
    console.print(table)
    console.print(
        "rate: accepted / drafted. length: committed tokens per verification, the target's own included.\n"
        "passes: of the target. up, down: protobuf bytes."
    )
    console.print(_sums([stream for stream, _ in results], [alone for _, alone in results]))


def _sums(streams: Sequence[Values], alone: Sequence[Values]) -> str:
    accepted, drafted = (sum(r[key] for r in streams) for key in ("accepted", "drafted"))
    passes, own_passes = (sum(r["target_passes"] for r in side) for side in (streams, alone))
    times = [s["total_ms"] / a["total_ms"] for s, a in zip(streams, alone, strict=True)]
    return (
        f"In all: {accepted} of {drafted} draft tokens accepted, {passes} target passes against {own_passes} of "
        f"cloud_only,\nmedian total time {median(times):.2f} of cloud_only's "
        "(on one machine, whose cores both sides share)."
    )


def _cells(report: dict[str, Any]) -> list[str]:
    up = report["uplink_bytes"]
    figures = (
        _number(report["ttft_ms"]),
        _number(report["tpot_ms"], 1),
        _number(report["total_ms"]),
        str(report["tokens"]),
        str(report["drafted"]),
        str(report["accepted"]),
        _number(report["acceptance_rate"], 2),
        _number(report["mean_acceptance_length"], 2),
        str(report["target_passes"]),
        str(report["rollbacks"]),
        str(up["video"]),
        str(up["drafts"]),
        str(up["control"]),
        str(report["downlink_bytes"]),
    )
    return list(figures)


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
