"""What `eventspec-bench capacity` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.paradigms.capacity import FleetFigures, Theory
    from benchmarks.results import Record, Run


def print_capacity(record: Record) -> None:
    """Figures of every fleet, what was good, and the theory beside it."""
    from benchmarks.commands.tables import headline, make_console, plain
    from benchmarks.paradigms.capacity import FleetFigures, Theory

    console, meta = make_console(), record.meta
    fleets = [FleetFigures(**values) for values in meta["fleets"]]
    console.print(plain(headline(record)), style="bold")
    console.print(_table(fleets))
    ttft, tpot = meta["objectives"]["ttft_ms"], meta["objectives"]["tpot_ms"]
    console.print(f"good: answers with TTFT <= {ttft:g} ms and TPOT <= {tpot:g} ms")
    names = ("gamma", "drafter_ms", "verify_ms", "round_trip_ms")
    theories = {label: Theory(**{n: values[n] for n in names}) for label, values in meta["theory"].items()}
    for line in _verdicts(fleets, theories):
        console.print(line)
    for note in meta["notes"]:
        console.print(f"· {note}", style="dim")


def _table(fleets: list[FleetFigures]) -> Any:
    from rich import box
    from rich.table import Table

    from benchmarks.commands.tables import plain

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("paradigm", no_wrap=True)
    for name in (
        "clients",
        "tokens/s",
        "TTFT p50\nms",
        "TTFT p99\nms",
        "TPOT p50\nms",
        "passes\n/ token",
        "good\nanswers/s",
        "good\nshare",
        "answers",
    ):
        table.add_column(name, justify="right")
    for f in sorted(fleets, key=lambda f: (f.paradigm, f.mode, f.clients)):
        cells = (
            f"{f.tokens_per_s:.1f}",
            *(_number(value) for value in (f.ttft_p50_ms, f.ttft_p99_ms)),
            _number(f.tpot_p50_ms, 1),
            _number(f.passes_per_token, 2),
            f"{f.goodput_per_s:.2f}",
            "-" if f.goodput_share is None else f"{f.goodput_share:.0%}",
            str(f.answers),
        )
        table.add_row(plain(_label(f)), str(f.clients), *cells)
    return table


def _verdicts(fleets: list[FleetFigures], theories: dict[str, Theory]) -> list[str]:
    from benchmarks.paradigms.capacity import most_clients

    lines = []
    for label in dict.fromkeys(_label(f) for f in fleets):
        most = most_clients(f for f in fleets if _label(f) == label)
        lines.append(f"{label}: 90 % of answers good up to {most} of the clients that were tried")
        if (theory := theories.get(label)) is not None:
            lines.append(
                f"  theory: 1 + gamma t_d / t_v = 1 + {theory.gamma:.1f} x {theory.drafter_ms:.2f} / "
                f"{theory.verify_ms:.2f} = {theory.clients:.2f} clients before they wait for each other, without "
                f"batching; {theory.with_round_trip:.2f} with the round trip of {theory.round_trip_ms:.0f} ms"
            )
    return lines


def _label(figures: FleetFigures | Run) -> str:
    return f"{figures.paradigm}/{figures.mode}" if figures.mode else figures.paradigm


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
