"""What the commands about alignment do; apart from them, so that `--help` imports nothing heavy."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from common.errors import ModelError
from common.shipped import shipped_drafter, shipped_target
from training.alignment.chunks import read_index
from training.alignment.extraction import extract
from training.alignment.fitting import AdapterTrainer, Recipe
from training.alignment.rollouts import RollOut, write_rollouts
from training.alignment.sources import GeneratedSource, HeldOutSource, ShardSource, Source, event_pixels
from training.alignment.states import Aligner
from training.alignment.stepping import Step, SteppedTrainer
from training.commands import progress_bar
from training.data.batches import Shards
from training.export import load_exported
from training.models import DrafterLearner, TargetLearner, normalise
from training.objective import prefix_of
from training.tokenizer import pair_tokenizer
from training.world.scenes import sample_scene

if TYPE_CHECKING:  # peft takes a while to import
    from training.alignment.lora import Events, LoraRecipe


def run_extract(
    out: Path,
    data: Path,
    scenes: int,
    questions: int,
    held_out: bool,
    layers: int,
    chunk: int,
    threads: int,
    pair: Path | None,
    drafter_folder: Path | None = None,
) -> None:
    """Extract aligned states of the pair; goes on behind the chunks that are there."""
    torch.set_num_threads(threads)
    target, drafter = load_pair(pair, drafter_folder)
    tokenizer = pair_tokenizer()
    source: Source
    if held_out:
        source = HeldOutSource(tokenizer, scenes)
    elif any(data.glob("*.frames.npy")):
        source = ShardSource(data, scenes, questions)
    else:
        source = GeneratedSource(tokenizer, scenes, questions)
    aligner = Aligner(target, drafter, (prefix_of(target, tokenizer), prefix_of(drafter, tokenizer)), layers)
    with progress_bar() as bar:
        task = bar.add_task("scenes", total=len(source))
        done = extract(
            source,
            aligner,
            out,
            chunk,
            lambda at, seen: bar.update(task, completed=at, description=f"{seen} samples"),
        )
    spent = done.spent
    Console().print(
        f"{done.samples} samples, {done.tokens} tokens in {out} ({done.added} new).\n"
        f"{done.seconds:.1f} s = {done.overhead:.3f} x the forwards (target {spent.target:.1f} s, "
        f"to find its answers {spent.search:.1f} s, drafter {spent.drafter:.1f} s), {done.overhead_along:.3f} x those "
        f"along final answers; peak memory {done.peak_mb:.0f} MB"
    )


def run_rollouts(states: Path, data: Path, chunks: int | None, threads: int, pair: Path | None) -> None:
    """Add the drafter's continuations behind its misses to the chunks in `states`."""
    torch.set_num_threads(threads)
    _, drafter = load_pair(pair)
    of_shards = read_index(states).meta.get("source") == "shards"
    roll = RollOut(drafter, prefix_of(drafter, pair_tokenizer()), _events(data if of_shards else Path()))
    with progress_bar() as bar:
        task = bar.add_task("chunks")
        count = write_rollouts(states, roll, lambda at, of: bar.update(task, completed=at, total=of), chunks)
    Console().print(f"{count} continuations added in {states}")


def load_pair(pair: Path | None, drafter: Path | None = None) -> tuple[TargetLearner, DrafterLearner]:
    """The packed pair in a folder, or the shipped one; `drafter` names another drafter.

    Raises:
        ModelError: a model is missing.
    """
    at_target = shipped_target() if pair is None else pair / "target"
    at_drafter = drafter or (shipped_drafter() if pair is None else pair / "drafter")
    for folder in (at_target, at_drafter):
        if not (folder / "config.json").exists():
            raise ModelError(f"no model in {folder}: name the folder of a packed pair, or leave it out")
    found = load_exported("target", at_target), load_exported("drafter", at_drafter)
    assert isinstance(found[0], TargetLearner)
    assert isinstance(found[1], DrafterLearner)
    return found[0], found[1]


def run_adapter_training(
    recipe: Recipe, states: Path, out: Path, threads: int, limit: int | None, pair: Path | None
) -> None:
    """Train an adapter; goes on from the checkpoint in `out`."""
    torch.set_num_threads(threads)
    target, _ = load_pair(pair)
    trainer = AdapterTrainer(recipe, states, target.lm_head, target.language.embed_tokens, out)
    console = Console()
    if trainer.done:
        console.print(f"{out} is trained to the end of its steps; take another --out to begin anew")
        return
    console.print(f"{recipe.level}: {trainer.adapter.parameters_count} parameters, from step {trainer.step}")
    _train(trainer, recipe.level, out, limit, console)


def run_lora(
    recipe: LoraRecipe, states: Path, data: Path, out: Path, threads: int, limit: int | None, pair: Path | None
) -> None:
    """Tune the drafter; goes on from the checkpoint in `out`."""
    from training.alignment.lora import LoraTrainer

    torch.set_num_threads(threads)
    _, drafter = load_pair(pair)
    tokenizer = pair_tokenizer()
    console = Console()
    trainer = LoraTrainer(recipe, drafter, prefix_of(drafter, tokenizer), states, _events(data), out)
    if trainer.done:
        console.print(f"{out} is tuned to the end of its steps; take another --out to begin anew")
        return
    tuned = sum(parameter.numel() for parameter in trainer.tuned.values())
    console.print(f"LoRA of rank {recipe.rank}: {tuned} parameters, from step {trainer.step}")
    tokenizer.save(str(out / "tokenizer.json"))  # a drafter's folder is whole: an edge serves it as it is
    _train(trainer, "lora", out, limit, console)


def _train(trainer: SteppedTrainer, name: str, out: Path, limit: int | None, console: Console) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ways of stopping save
    with progress_bar(console) as bar:
        task = bar.add_task(name, completed=trainer.step)
        recent: list[float] = []

        def tick(step: Step) -> None:
            recent.append(step.right)
            del recent[:-100]
            line = f"{name} loss {step.loss:.3f} right {sum(recent) / len(recent):.2%}"
            bar.update(task, total=step.steps, completed=step.step, description=line)

        try:
            trainer.run(tick, limit)
        except KeyboardInterrupt:
            console.print(f"stopped and saved in {out}; the same command goes on from here")


def _events(data: Path) -> Events:
    """The drafter's pictures of training scenes by their seeds: from shards, or drawn."""
    if any(data.glob("*.events.npy")):
        shards = Shards(data, "events")
        return lambda seeds: normalise(shards.frames(seeds))
    return lambda seeds: torch.stack([event_pixels(sample_scene(int(seed))) for seed in seeds])
