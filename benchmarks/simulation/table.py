"""Tables on the terminal: fleets, and the differences of a validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.simulation.summary import Objectives, Summary

if TYPE_CHECKING:
    from benchmarks.simulation.validation import Difference

_COLUMNS = (
    "clients",
    "tokens/s",
    "TTFT p50\nms",
    "TTFT p99\nms",
    "TPOT p50\nms",
    "passes\na token",
    "cloud\nbusy",
    "decoding\nbusy",
    "goodput\nanswers/s",
    "goodput\nshare",
    "alone",
    "failed",
)


def make_console() -> Console:
    """A console wide enough for the tables, also where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=150)


def print_fleets(summaries: Sequence[Summary], objectives: Objectives) -> None:
    """One line a fleet."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("paradigm", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for one, after in zip(summaries, [*summaries[1:], None], strict=True):
        ends = after is None or (after.paradigm, after.mode) != (one.paradigm, one.mode)
        table.add_row(f"{one.paradigm}/{one.mode}".rstrip("/"), *_cells(one), end_section=ends)
    console = make_console()
    console.print(table)
    console.print(
        f"goodput: answers with TTFT <= {objectives.ttft_ms:g} ms and TPOT <= {objectives.tpot_ms:g} ms. "
        "alone: the edge gave up on the cloud."
    )


def _cells(one: Summary) -> list[str]:
    return [
        str(one.clients),
        number(one.tokens_per_s, 1),
        number(one.ttft_p50_ms),
        number(one.ttft_p99_ms),
        number(one.tpot_p50_ms, 1),
        number(one.passes_per_token, 3),
        percent(one.utilisation),
        percent(one.decoding),
        number(one.goodput_per_s, 2),
        percent(one.goodput_share),
        str(one.alone),
        str(one.failed),
    ]


def _digits(value: float) -> str:
    return number(value, 1 if value >= 10 else 3)


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """A share of one as percent, or a dash."""
    return "-" if share is None else f"{share * 100:.0f} %"


def print_differences(differences: Sequence[Difference], meta: Mapping[str, Any], tolerance: float) -> None:
    """Replayed and simulated medians side by side."""
    link = (meta.get("link") or {}).get("name", "no link")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (
        "paradigm",
        "clients",
        "figure",
        "runs",
        "overran",
        "replayed",
        "by chance",
        "simulated",
        "off by",
        "",
    ):
        table.add_column(name, justify="left" if name in ("paradigm", "figure", "") else "right")
    for one, after in zip(differences, [*differences[1:], None], strict=True):
        ends = after is None or (after.label, after.clients) != (one.label, one.clients)
        table.add_row(
            one.label,
            str(one.clients),
            one.figure,
            str(one.runs),
            str(one.overran or ""),
            _digits(one.replayed),
            "" if one.chance is None else f"{_digits(one.chance[0])} - {_digits(one.chance[1])}",
            _digits(one.simulated),
            f"{one.off * 100:+.1f} %",
            "" if one.within else "OFF",
            end_section=ends,
        )
    console = make_console()
    console.print(f"{meta.get('replayed', '')} over {link} ({meta.get('backend', '')})")
    console.print(table)
    wrong = sum(not one.within for one in differences)
    said = "all within" if not wrong else f"{wrong} of {len(differences)} not within"
    console.print(
        f"{said} {tolerance * 100:.0f} %. Medians; passes of all over tokens of all. overran: a stage took "
        "this machine longer\nthan the profile says; left out where a client asks alone"
    )
