"""The commands of `eventspec-train` about alignment. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Pair = Annotated[Path | None, typer.Option(help="Folder of a packed pair; without it, the shipped one.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Seed = Annotated[int, typer.Option(help="Seed of weights and batches.")]
Drafter = Annotated[Path | None, typer.Option(help="Folder of another drafter, such as one that `lora` tuned.")]


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
    drafter: Drafter = None,
) -> None:
    """Extract hidden states of both models along the target's own answers.

    Both models run over the same answer, so states are aligned position by position. Start it again and it goes on.
    """
    from training.alignment.commands import run_extract

    run_extract(out, data_folder, scenes, questions, held_out, layers, chunk, threads, pair, drafter)


def rollouts(
    states: Annotated[Path, typer.Option(help="Extracted states.")] = Path("runs/states"),
    data_folder: Annotated[
        Path, typer.Option("--data", help="Training data; without any there, scenes are drawn.")
    ] = Path("runs/data"),
    chunks: Annotated[int | None, typer.Option(min=1, help="Only of the first so many chunks.")] = None,
    threads: Threads = 1,
    pair: Pair = None,
) -> None:
    """Add the drafter's own continuations behind its misses to extracted states: what serving sees there.

    `adapter --served` learns from them. Start it again and it goes on.
    """
    from training.alignment.commands import run_rollouts

    run_rollouts(states, data_folder, chunks, threads, pair)


def adapter(
    level: Annotated[str, typer.Option(help="L1, L1S, L2, L3, L4, L5, L5F or tokens.")],
    states: Annotated[Path, typer.Option(help="Extracted states.")] = Path("runs/states"),
    out: Annotated[
        Path | None, typer.Option(help="For adapter and checkpoint; by default runs/adapters/LEVEL.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2000,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 64,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    states_weight: Annotated[float, typer.Option(help="Weight of the loss on states, MSE + 0.5 (1 - cos).")] = 0.1,
    tokens_weight: Annotated[float, typer.Option(help="Weight of the cross entropy through the target's head.")] = 1.0,
    following: Annotated[
        float | None, typer.Option(help="Share of the loss on states taken on the next state; 0.5 for L5, L5F, else 0.")
    ] = None,
    own: Annotated[float, typer.Option(help="L5F: share of positions fed with its own guess at the last state.")] = 0.5,
    served: Annotated[
        bool, typer.Option("--served", help="L5F: learn from drafts as they are served; see `rollouts`.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="L4, tokens: learn from whole answers, as the research did; this leaks.")
    ] = False,
    blind: Annotated[
        bool, typer.Option("--blind", help="Zeros instead of the drafter's states, to see what L5F owes to them.")
    ] = False,
    layers: Annotated[int, typer.Option(min=1, help="Read the drafter's last so many layers.")] = 1,
    width: Annotated[int | None, typer.Option(min=1, help="Width, if not the level's own.")] = None,
    embedding: Annotated[int | None, typer.Option(min=8, help="tokens: width of the encoder.")] = None,
    blocks: Annotated[int | None, typer.Option(min=1, help="Blocks, if not the level's own.")] = None,
    token_fusion: Annotated[bool, typer.Option("--token-fusion", help="L5: the token before enters, too.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the weights of this adapter of the same sizes.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many steps (and go on later).")] = None,
    pair: Pair = None,
) -> None:
    """Train an adapter from the drafter's states to the target's. Ctrl-C saves; the same command goes on."""
    from training.alignment.commands import run_adapter_training
    from training.alignment.fitting import Recipe
    from training.alignment.losses import Weights

    given = {"layers": layers, "width": width, "blocks": blocks, "embedding": embedding, "token_fusion": token_fusion}
    sizes = {
        name: value for name, value in given.items() if value not in (None, False) and (name, value) != ("layers", 1)
    }
    after = following if following is not None else 0.5 if level.upper().startswith("L5") else 0.0
    weights = Weights(states_weight, tokens_weight, after)
    recipe = Recipe(
        level,
        sizes,
        steps,
        batch,
        rate,
        weights=weights,
        own=own,
        served=served,
        whole=whole,
        blind=blind,
        seed=seed,
        start=str(start or ""),
    )
    run_adapter_training(recipe, states, out or Path("runs/adapters") / level, threads, limit, pair)


def lora(
    states: Annotated[Path, typer.Option(help="Extracted states of training scenes, for the target's answers.")] = Path(
        "runs/states"
    ),
    data_folder: Annotated[
        Path, typer.Option("--data", help="Training data; without any there, scenes are drawn.")
    ] = Path("runs/data"),
    out: Annotated[Path, typer.Option(help="For the tuned drafter and the checkpoint.")] = Path("runs/lora"),
    rank: Annotated[int, typer.Option(min=1, help="Rank of the matrices.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 600,
    batch: Annotated[int, typer.Option(min=1, help="Scenes a step.")] = 16,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    seed: Seed = 0,
    threads: Threads = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many steps (and go on later).")] = None,
    pair: Pair = None,
) -> None:
    """Tune the drafter's own layers and head on the target's answers (LoRA, by peft); writes a merged drafter."""
    from training.alignment.commands import run_lora
    from training.alignment.lora import LoraRecipe

    recipe = LoraRecipe(rank=rank, alpha=2 * rank, steps=steps, batch=batch, rate=rate, seed=seed)
    run_lora(recipe, states, data_folder, out, threads, limit, pair)


def metrics(
    states: Annotated[Path, typer.Option(help="States extracted from held-out scenes.")] = Path("runs/states-held-out"),
    adapters: Annotated[
        list[Path] | None, typer.Option("--adapter", help="Folder of an adapter; name it again for more.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Let L4 and tokens see whole answers, as the research did; this leaks.")
    ] = False,
    blind: Annotated[
        bool, typer.Option("--blind", help="Zeros instead of the drafter's states, for adapters trained so.")
    ] = False,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write all figures to this file.")] = None,
    threads: Threads = 1,
    pair: Pair = None,
    drafter: Drafter = None,
) -> None:
    """Measure raw ids and adapters on held-out states: true acceptance with rollback, and all proxies.

    By class of word and position, mean acceptance length, cosine figures, best 1, 5 and 10, estimated speed-ups.
    """
    from training.alignment.reporting import run_metrics

    run_metrics(states, adapters or [], (whole, blind), json_out, threads, pair, drafter)


def bound(
    states: Annotated[Path, typer.Option(help="States extracted from held-out scenes.")] = Path("runs/states-held-out"),
    scenes: Annotated[int, typer.Option(min=1, help="Held-out scenes.")] = 200,
    draws: Annotated[int, typer.Option(min=1, help="Scenes drawn for each.")] = 120,
    asks: Annotated[int, typer.Option(min=1, help="Questions of each kind about each drawn scene.")] = 25,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Bound acceptance by what events can tell: the best that an ideal observer of the events could draft."""
    from training.alignment.reporting import run_bound

    run_bound(states, scenes, draws, asks, json_out)


def decide(
    states: Annotated[Path, typer.Option(help="States extracted from held-out scenes.")] = Path("runs/states-held-out"),
    profiles: Annotated[
        list[str] | None, typer.Option("--replay", help="Stage times, by name or file; by default all shipped.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """When drafting pays: prefill share, hidden tokens and estimated speed-ups of deployments, as a table.

    The first row is the tiny pair, whose stages are measured here and now; the others are profiles of measured times.
    """
    from training.alignment.reporting import run_decide

    run_decide(states, profiles or [], threads)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command()(extract)
    app.command()(rollouts)
    app.command()(adapter)
    app.command()(lora)
    app.command()(metrics)
    app.command()(bound)
    app.command()(decide)
