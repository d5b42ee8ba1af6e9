"""What the commands about other vocabularies do; apart from them, so that `--help` imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from training.commands import follow
from training.vocabulary.drafter import OTHER_PLAN, export_other, other_trainer


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
