"""`eventspec-bench flips`: bits flipped anywhere in plain connections; status 0 only if no answer is wrong or hangs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.faults.flips.running import Record


def flips(
    count: Annotated[int, typer.Option(help="How many bits to flip, at least.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Of rates, places and questions.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write the JSON to this file after every slice, and go on with what is there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Flip random bits between a real edge link and a real cloud service, over plain TCP: headers, settings, messages.

    Every connection has a rate of its own, from a bit in a hundred bytes to one in thirty thousand. Answers take
    milliseconds: the target is a function of question and features. Each must be the undisturbed one, or be finished
    alone and marked so, or be one failure that may be tried again.
    """
    import asyncio
    import os
    import tempfile

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would tell of every damaged connection
    from benchmarks.faults.flips.running import Access, Record, run_flips
    from common.access import Scope, new_token, render_tokens
    from common.watched_file import write_private

    record = Record.read(out, seed) if out is not None else Record(seed)

    def told(so_far: Record) -> None:
        summary = so_far.as_dict()
        typer.echo(f"{summary['flipped']:,} bits, {_line(summary)}", err=True)
        if out is not None:
            out.write_text(json.dumps(summary) + "\n")

    with tempfile.TemporaryDirectory(prefix="eventspec-flips-") as folder:
        token, entry = new_token("edge", (Scope.SPECULATE, Scope.VIDEO, Scope.INFO))
        access = Access(f"{folder}/tokens.toml", f"{folder}/token")
        write_private(Path(access.tokens), render_tokens([entry]))
        write_private(Path(access.token_file), token)
        asyncio.run(run_flips(record, count, access, told))
    summary = record.as_dict()
    typer.echo(json.dumps(summary) if as_json else _page(summary))
    raise typer.Exit(1 if summary["bad"] else 0)


def _line(summary: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in summary["answers"].items())


def _page(summary: dict[str, Any]) -> str:
    lines = [f"seed {summary['seed']}: {summary['flipped']:,} bits flipped in {summary['seconds']:.0f} s"]
    lines += [f"{count:>9,} {name}" for name, count in summary["flips"].items()]
    lines += [f"{summary['asked']:,} answers: {_line(summary)}"]
    lines += [f"{count:>9,} {name}" for name, count in summary["reasons"].items()]
    return "\n".join([*lines, *summary["bad"]])
