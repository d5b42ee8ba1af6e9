"""`eventspec-bench held`: how many sessions one cloud holds at the same time."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def held(
    sessions: Annotated[int, typer.Option(min=2, help="Questions at a time, and sessions of the cloud.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Times that all of them are asked.")] = 3,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hold many sessions at once on one cloud; status 0 only if all are answered, and alike each time."""
    from benchmarks.held import measure

    result = measure(sessions, rounds, max_tokens)
    if as_json:
        more = {"bytes_a_session": result.bytes_a_session, "growth": result.growth, "good": result.good}
        typer.echo(json.dumps({**asdict(result), **more}))
    else:
        typer.echo(
            f"{result.answers} answers, {result.most_at_once} at once: {result.errors} errors, "
            f"{result.different} different\n"
            f"memory: {result.start_bytes / 2**20:,.0f} MiB at the start, "
            f"{result.bytes_a_session / 2**20:.2f} MiB a session; after each round "
            + ", ".join(f"{size / 2**20:,.0f}" for size in result.rounds_bytes)
        )
    raise typer.Exit(0 if result.good else 1)
