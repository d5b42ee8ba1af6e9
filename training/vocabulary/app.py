"""The commands of `eventspec-train` about other vocabularies. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def other_drafter(
    data_folder: Annotated[Path, typer.Option("--data", help="Folder of the training data.")] = Path("runs/data"),
    out: Annotated[
        Path, typer.Option(help="For tokenizer, checkpoint and log; the drafter goes to its folder `drafter`.")
    ] = Path("runs/other"),
    seed: Annotated[int, typer.Option(help="Seed of batches.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many steps (and go on later).")] = None,
) -> None:
    """Train a second drafter that has a vocabulary of its own, from the shipped drafter's layers.

    About ten minutes on an idle core. Ctrl-C saves; the same command goes on.
    """
    from training.vocabulary.commands import run_other_drafter

    run_other_drafter(data_folder, out, seed, threads, limit)


def pack_other(
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/other"),
    out: Annotated[Path, typer.Option(help="Where the drafter goes, beside the pair's.")] = Path(
        "common/tiny/other-drafter"
    ),
    scenes: Annotated[int, typer.Option(min=1, help="Held-out scenes for the figures in its card.")] = 200,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Write the drafter of another vocabulary as it is shipped: fp16, tokenizer, card with measured figures."""
    from training.vocabulary.commands import run_pack_other

    run_pack_other(run, out, scenes, threads)


def vocabularies(
    other: Annotated[
        Path | None, typer.Option(help="Folder of a drafter with another vocabulary. [the shipped one]")
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Number of held-out scenes.")] = 200,
    ways: Annotated[
        list[str] | None, typer.Option("--across", help="text or pieces; name it again for more. [both]")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    pair: Annotated[Path | None, typer.Option(help="Folder of a packed pair; without it, the shipped one.")] = None,
) -> None:
    """Measure drafting across vocabularies against the pair's shared one, on held-out scenes.

    Acceptance by class of word, tokens a verification, what the drafter says for them, and decode time.
    Ctrl-C shows what was measured so far.
    """
    from training.vocabulary.commands import run_vocabularies

    run_vocabularies(other, scenes, ways or ["text", "pieces"], json_out, threads, pair)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(other_drafter)
    app.command()(pack_other)
    app.command()(vocabularies)
