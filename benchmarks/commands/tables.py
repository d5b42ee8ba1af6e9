"""Tables of runs on a console: median and spread, ratios against `cloud_only` of the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.paradigms.statistics import Figure, Spread, by_label, paired_ratios
from benchmarks.results import Record, Run
from common.printable import one_line


def make_console() -> Console:
    """A console wide enough for the tables, also where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=150)


def plain(name: str) -> Text:
    """A name that a record or a file chose, as it may be printed: no markup, on one line."""
    return Text(one_line(name))


def comparison_table(runs: Sequence[Run]) -> Table:
    """One line a paradigm."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("paradigm", no_wrap=True)
    for name in (
        "TTFT ms",
        "x cloud",
        "TPOT ms",
        "total ms",
        "x cloud",
        "accepted",
        "passes\n/ token",
        "up\nkB",
        "down\nkB",
        "answers",
    ):
        table.add_column(name, justify="right")
    groups = by_label(runs)
    base = groups.get("cloud_only", [])
    for label, group in groups.items():
        table.add_row(plain(label + ("" if group[0].lossless else " (lossy)")), *_cells(group, base))
    return table


def _cells(group: Sequence[Run], base: Sequence[Run]) -> list[str]:
    drafted, passes = sum(run.drafted for run in group), sum(run.target_passes for run in group)
    tokens = sum(run.tokens for run in group)
    return [
        spread_text(Spread.of(_ttft(run) for run in group)),
        ratio_text(group, base, _ttft),
        spread_text(Spread.of(run.tpot_ms for run in group), 1),
        spread_text(Spread.of(run.total_ms for run in group)),
        ratio_text(group, base, _total),
        f"{sum(run.accepted for run in group) / drafted:.0%}" if drafted else "-",
        f"{passes / tokens:.2f}" if passes and tokens else "-",
        _median_text(group, lambda run: run.uplink_total / 1e3),
        _median_text(group, lambda run: run.downlink_bytes / 1e3),
        str(len(group)),
    ]


def _median_text(group: Sequence[Run], figure: Figure) -> str:
    spread = Spread.of(figure(run) for run in group)
    return f"{spread.median:.1f}" if spread is not None and spread.median else "-"


def spread_text(spread: Spread | None, digits: int = 0) -> str:
    """`median (low-high)` with the quartiles."""
    if spread is None:
        return "-"
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f}-{spread.high:.{digits}f})"


def ratio_text(group: Sequence[Run], base: Sequence[Run], figure: Figure) -> str:
    """The median of paired ratios, with quartiles."""
    spread = Spread.of(paired_ratios(group, base, figure))
    return "-" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def _ttft(run: Run) -> float | None:
    return run.ttft_ms


def _total(run: Run) -> float | None:
    return run.total_ms


def print_comparison(record: Record, console: Console | None = None) -> None:
    """Link, table, both choices, notes."""
    console = console or make_console()
    console.print(plain(headline(record)), style="bold")
    console.print(comparison_table(record.runs))
    console.print("median (quartiles); x cloud: paired ratios to cloud_only of the same question and repetition")
    by_log, measured = (record.meta["choices"][key] for key in ("by_thresholds", "by_measurement"))
    console.print(f"choice by the log's thresholds: {by_log['paradigm']} ({by_log['why']})")
    if measured is not None:
        console.print(f"choice by what was measured:    {measured['paradigm']} ({measured['why']})")
    else:
        console.print("choice by what was measured:    none without cloud_only in the run")
    if (ahead := record.meta["choices"].get("by_measurement_ahead")) is not None:
        console.print(f"clip streamed ahead, asked at its end: {ahead['paradigm']} ({ahead['why']})")
    for note in record.meta.get("notes", ()):
        console.print(f"· {note}", style="dim")


def headline(record: Record) -> str:
    """Link, backend and replay in one line."""
    link, meta = record.meta.get("link") or {}, record.meta
    words = [f"link {link['name']}: RTT {link['rtt_ms']:g} ms, {link['uplink_mbps']:g} up, {link['downlink_mbps']:g} "
             "Mbit/s down" if link else "no link"]  # fmt: skip
    words.append(f"backend {meta['backend']}")
    if (measured := meta.get("measured") or {}).get("rtt_p50_ms") is not None:
        words.append(f"measured RTT {measured['rtt_p50_ms']:.1f} ms (p99 {measured['rtt_p99_ms']:.1f})")
    if meta.get("replayed"):
        words.append(f"REPLAYED: stages padded to {meta['replayed']}")
    return ", ".join(words)


def grid_table(values: Mapping[tuple[float, float], float | None]) -> Table:
    """Values by (RTT in ms, uplink in Mbit/s)."""
    rtts, uplinks = (sorted({key[place] for key in values}) for place in (0, 1))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("RTT ms \\ Mbit/s", justify="right")
    for uplink in uplinks:
        table.add_column(f"{uplink:g}", justify="right")
    for rtt in rtts:
        cells = [values.get((rtt, uplink)) for uplink in uplinks]
        table.add_row(f"{rtt:g}", *("-" if value is None else f"{value:.2f}" for value in cells))
    return table
