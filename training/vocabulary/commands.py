"""What the commands about other vocabularies do; apart from them, so that `--help` imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from common.shipped import shipped_drafter, shipped_other_drafter, shipped_target
from common.tokenizer import Tokenizer
from edge.drafter_model import DrafterModel
from edge.eventgpt import EventGPT
from edge.vocabulary import Way
from training.commands import follow, progress_bar, stop_gently
from training.evaluation.speed import pass_cost
from training.export import load_exported
from training.models import TargetLearner
from training.vocabulary.drafter import OTHER_PLAN, export_other, other_trainer
from training.vocabulary.measure import LENGTHS, Tally, compare, models_of
from training.vocabulary.packing import other_card, pack_other


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures and drafters by way, the number of the target's ids, and of the scenes that were gone through."""

    values: dict[str, dict[str, Any]]
    models: dict[str, DrafterModel]
    size: int
    scenes: int


def run_other_drafter(data: Path, out: Path, seed: int, threads: int, limit: int | None) -> None:
    """Train the other drafter; writes it to `out` whenever training stops."""
    torch.set_num_threads(threads)
    console = Console()
    trainer = other_trainer(data, out, seed)
    if not trainer.done:
        console.print(f"step {trainer.step} of {OTHER_PLAN[0].steps}")
        follow(trainer, console, limit)
    export_other(out, out / "drafter")
    console.print(f"the drafter is in {out / 'drafter'}")


def run_pack_other(run: Path, out: Path, scenes: int, threads: int) -> None:
    """Write the other drafter as it is shipped, measure it, and write its card."""
    pack_other(run, out, shipped_drafter().name)
    found = _measure(out, scenes, list(Way), threads, None)
    _show(found)
    across = next(model.across for model in found.models.values() if model.across is not None)
    sizes = (Tokenizer.from_folder(out).vocab_size, found.size)
    (out / "README.md").write_text(other_card(found.values, len(across.twins), sizes, found.scenes))


def run_vocabularies(
    other: Path | None, scenes: int, ways: list[str], json_out: Path | None, threads: int, pair: Path | None
) -> None:
    """Measure drafting across vocabularies on held-out scenes."""
    found = _measure(other or shipped_other_drafter(), scenes, [Way(way) for way in ways], threads, pair)
    _show(found)
    if json_out is not None:
        json_out.write_text(json.dumps({"held_out_scenes": found.scenes, "ways": found.values}, indent=2) + "\n")


def _measure(other: Path, scenes: int, ways: list[Way], threads: int, pair: Path | None) -> Measured:
    torch.set_num_threads(threads)
    places = (pair / "target", pair / "drafter") if pair else (shipped_target(), shipped_drafter())
    target = load_exported("target", places[0])
    assert isinstance(target, TargetLearner)
    words = Tokenizer.from_folder(places[0])
    models = models_of(_drafter(places[1]), _drafter(other), words, ways)
    stop_gently()
    done = [0]
    with progress_bar() as bar:
        task = bar.add_task("held-out scenes", total=scenes)

        def tick(count: int) -> None:
            done[0] = count
            bar.update(task, completed=count)

        tallies = compare(target, words, models, scenes, tick)
    token_ms, verify_ms = pass_cost(target, 1), {length: pass_cost(target, length + 1) for length in LENGTHS}
    values = {name: _with_ratios(tally, token_ms, verify_ms) for name, tally in tallies.items()}
    return Measured(values, models, words.vocab_size, done[0])


def _drafter(folder: Path) -> DrafterModel:
    return DrafterModel(folder.name, EventGPT.from_pretrained(folder), Tokenizer.from_folder(folder))


def _with_ratios(tally: Tally, token_ms: float, verify_ms: dict[int, float]) -> dict[str, Any]:
    """The tally's values, and time without over time with drafts, behind the prefill: draft, verify, draft, ..."""
    values = tally.as_json()
    for length, row in values["by_draft_length"].items():
        a_token = row["drafting_ms_a_token"] + verify_ms[int(length)] / row["tokens_a_verification"]
        row["decode_ratio"] = token_ms / a_token
    return values


def _show(found: Measured) -> None:
    console, values = Console(), found.values
    model = next((model for model in found.models.values() if model.across is not None), None)
    if model is not None and model.across is not None:
        twins, own = len(model.across.twins), model.tokenizer.vocab_size
        console.print(f"{twins} of the drafter's {own} pieces are the target's ({found.size}), too")
    console.print(f"{found.scenes} held-out scenes")
    table = Table("drafts by", "acceptance", "drafts of", "tokens a verification", "said a token", "decode ratio")
    for name, row in values.items():
        for length, cell in row["by_draft_length"].items():
            first = [name, f"{row['acceptance']:.2%}"] if int(length) == LENGTHS[0] else ["", ""]
            numbers = (cell["tokens_a_verification"], cell["drafter_tokens_a_token"], cell["decode_ratio"])
            table.add_row(*first, length, *(f"{number:.2f}" for number in numbers))
    console.print(table)
    kinds = sorted({kind for row in values.values() for kind in row["acceptance_by_class"]})
    table = Table("class of word", *values)
    for kind in kinds:
        table.add_row(kind, *(f"{row['acceptance_by_class'].get(kind, 0.0):.1%}" for row in values.values()))
    console.print(table)
