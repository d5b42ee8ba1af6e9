"""`eventspec-train`: make the tiny pair, from the world's first scene to the shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.cli import make_app, run_app
from training.alignment.app import register as register_alignment
from training.vocabulary.app import register as register_vocabulary

app = make_app(
    "Make the tiny pair. In order: `data`, `target`, `drafter`, `evaluate`, `pack`. "
    "Everything is a function of its seed, and everything that takes long goes on where it was left."
)

DataFolder = Annotated[Path, typer.Option(help="Folder of the training data.")]
RunFolder = Annotated[Path, typer.Option(help="Folder of checkpoints and logs; training goes on from what is there.")]
Seed = Annotated[int, typer.Option(help="Seed of weights, batches and noise.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Stop after this many steps (and go on another time).")]


@app.command()
def data(
    out: DataFolder = Path("runs/data"),
    shards: Annotated[int, typer.Option(min=1, help="Shards of 1,000 scenes (about 95 MB each).")] = 20,
) -> None:
    """Generate scenes, video frames, event frames, questions and answers. Shards that are there are kept."""
    from training.commands import make_data

    make_data(out, shards)


@app.command()
def target(
    data_folder: DataFolder = Path("runs/data"),
    out: RunFolder = Path("runs/target"),
    seed: Seed = 0,
    threads: Threads = 1,
    limit: Limit = None,
) -> None:
    """Train the target (Video-LLaVA in small): about two hours on one core with bfloat16. Ctrl-C saves."""
    from training.commands import train

    train("target", data_folder, out, seed, threads, limit)


@app.command()
def drafter(
    data_folder: DataFolder = Path("runs/data"),
    out: RunFolder = Path("runs/drafter"),
    seed: Seed = 0,
    threads: Threads = 1,
    limit: Limit = None,
) -> None:
    """Train the drafter (EventGPT in small) on the same answers, from events alone.

    Less than an hour; Ctrl-C saves.
    """
    from training.commands import train

    train("drafter", data_folder, out, seed, threads, limit)


@app.command()
def evaluate(
    pair: Annotated[
        Path | None,
        typer.Option(help="Folder of a packed pair; without it, the checkpoints in `runs` are taken."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder with the runs `target` and `drafter`.")] = Path("runs"),
    scenes: Annotated[int, typer.Option(min=1, help="Number of held-out scenes.")] = 200,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Measure the pair on held-out scenes.

    Right answers by kind, acceptance by class and position, cost of a forward.
    """
    from training.commands import run_evaluation

    run_evaluation(pair, runs, scenes, json_out)


@app.command()
def pack(
    runs: Annotated[Path, typer.Option(help="Folder with the runs `target` and `drafter`.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Where the pair goes.")] = Path("common/tiny"),
    scenes: Annotated[int, typer.Option(min=1, help="Held-out scenes for the figures in the model cards.")] = 500,
) -> None:
    """Write the pair as it is shipped.

    Fp16 weights, one tokenizer, model cards with measured figures, clips.
    """
    from training.commands import run_pack

    run_pack(runs, out, scenes)


register_alignment(app)
register_vocabulary(app)


def main() -> None:
    """Entry point."""
    run_app(app, "eventspec-train")


if __name__ == "__main__":
    main()
