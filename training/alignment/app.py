"""The commands of `eventspec-train` about alignment. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Pair = Annotated[Path | None, typer.Option(help="Folder of a packed pair; without it, the shipped one.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Seed = Annotated[int, typer.Option(help="Seed of weights and batches.")]


def extract(
    out: Annotated[Path, typer.Option(help="Folder for the chunks; what is there is kept.")] = Path("runs/states"),
    data_folder: Annotated[
        Path, typer.Option("--data", help="Training data; without any there, scenes are drawn here and now.")
    ] = Path("runs/data"),
    scenes: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 1000,
    questions: Annotated[int, typer.Option(min=1, help="Questions for each training scene.")] = 24,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Held-out scenes, one question of every kind, instead.")
    ] = False,
    layers: Annotated[int, typer.Option(min=0, help="Also keep the drafter's last so many layers.")] = 0,
    chunk: Annotated[int, typer.Option(min=1, help="Samples a chunk.")] = 1000,
    threads: Threads = 1,
    pair: Pair = None,
) -> None:
    """Extract hidden states of both models along the target's own answers.

    Both models run over the same answer, so states are aligned position by position. Start it again and it goes on.
    """
    from training.alignment.commands import run_extract

    run_extract(out, data_folder, scenes, questions, held_out, layers, chunk, threads, pair)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(extract)
