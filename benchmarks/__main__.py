"""`eventspec-bench`: measure, and show. `python -m benchmarks` is the same."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.commands.alignment import alignment
from benchmarks.commands.capacity import capacity
from benchmarks.commands.compare import compare, replay
from benchmarks.commands.held import held
from benchmarks.commands.latency import latency
from benchmarks.commands.regret import regret
from benchmarks.commands.stages import stages
from benchmarks.commands.sweep import sweep
from benchmarks.fairness.command import fairness
from benchmarks.faults.command import faults
from benchmarks.faults.flips.command import flips
from benchmarks.hostile.command import hostile
from benchmarks.link.commands import app as link_app
from benchmarks.report.command import report
from benchmarks.simulation.commands import simulate
from benchmarks.soak.command import soak
from common.cli import make_app, run_app

app = make_app(
    "Measures eventspec on this machine. Ratios are taken within one run; absolute times are this machine's."
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@app.command()
def demo(questions: Annotated[int, typer.Option(help="How many questions to ask.")] = 8) -> None:
    """Start an edge and a cloud on this machine, ask about the shipped clips, show what each answer cost."""
    from benchmarks.demo import run_demo

    raise typer.Exit(run_demo(questions))


@app.command()
def figures(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="One figure only (may be given again): generate, sessions, wire, overhead, raster, "
            "round, delay, blocking."
        ),
    ] = None,
    as_json: JsonOption = False,
    repetitions: Annotated[int, typer.Option(help="Repetitions of each measurement.")] = 5,
    model: Annotated[Path | None, typer.Option(help="Folder of a target. [the shipped tiny one]")] = None,
) -> None:
    """Measure the runtime's own figures and hold them against their bars; status 1 if one isn't reached."""
    from benchmarks.figures import measure_all, print_figures

    results = measure_all(only or None, repetitions, model)
    if as_json:
        typer.echo(json.dumps([result.as_dict() for result in results]))
    else:
        print_figures(results)
    raise typer.Exit(0 if all(result.reached for result in results) else 1)


app.add_typer(link_app, name="link")
app.command()(compare)
app.command()(replay)
app.command()(sweep)
app.command()(stages)
app.command()(capacity)
app.command()(latency)
app.command()(simulate)
app.command()(regret)
app.command()(faults)
app.command()(flips)
app.command()(soak)
app.command()(hostile)
app.command()(fairness)
app.command()(held)
app.command()(alignment)
app.command()(report)


def main() -> None:
    """Entry point; Ctrl-C and SIGTERM leave no process behind."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    run_app(app, "eventspec-bench")


if __name__ == "__main__":
    main()
