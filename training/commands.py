"""What the commands of `eventspec-train` do; apart from them, so that `--help` imports nothing heavy."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.data.batches import Shards
from training.data.shards import generate
from training.evaluation.report import as_json, evaluate, show
from training.export import load_checkpoint, load_exported
from training.loop import Report, Trainer
from training.models import DrafterLearner, Learner, TargetLearner, drafter_config, target_config
from training.objective import prefix_of
from training.plan import DRAFTER_PLAN, TARGET_PLAN
from training.tokenizer import pair_tokenizer

_SMOOTH = 0.95
_PRINT_EVERY = 100


def make_data(out: Path, shards: int) -> None:
    """Generate what is missing of the training data."""
    with progress_bar() as bar:
        task = bar.add_task("shards", total=3 * shards)
        present = sum(1 for _ in out.glob("train-*.done")) if out.exists() else 0
        bar.update(task, completed=min(present, 3 * shards))
        for name in generate(out, shards, pair_tokenizer()):
            bar.update(task, advance=1, description=name)


def new_learner(kind: str, seed: int) -> Learner:
    """A fresh model, drawn from `seed`, as shallow as its plan begins."""
    torch.manual_seed(seed)
    if kind == "target":
        return TargetLearner(target_config(TARGET_PLAN[0].layers))
    return DrafterLearner(drafter_config(DRAFTER_PLAN[0].layers))


def train(kind: str, data: Path, out: Path, seed: int, threads: int, limit: int | None) -> None:
    """Train `target` or `drafter` along its plan, with a line of progress that also works in a log file."""
    torch.set_num_threads(threads)
    console = Console()
    learner = new_learner(kind, seed)
    plan = TARGET_PLAN if kind == "target" else DRAFTER_PLAN
    prefix = prefix_of(learner, pair_tokenizer())
    trainer = Trainer(learner, prefix, Shards(data, learner.sense), plan, out, seed)
    if trainer.done:
        console.print(f"{out} is trained to the end of the plan; take another --out to begin anew")
        return
    console.print(f"{kind}: phase {plan[trainer.phase].name}, step {trainer.step} of {plan[trainer.phase].steps}")
    follow(trainer, console, limit)


def follow(trainer: Trainer, console: Console, limit: int | None) -> None:
    """Run a trainer under a progress bar, for at most `limit` steps; both ways of stopping save."""
    stop_gently()
    with progress_bar(console) as bar:
        watch = _Watch(bar)
        try:
            trainer.run(watch, limit)
        except KeyboardInterrupt:
            console.print(f"stopped and saved in {trainer.folder}; the same command goes on from here")


def stop_gently() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _Watch:
    """Turns reports of the trainer into a progress bar and, now and then, a line."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.tasks: dict[str, int] = {}
        self.loss, self.right = float("nan"), float("nan")

    def __call__(self, report: Report) -> None:
        if report.phase not in self.tasks:
            task = self.bar.add_task(report.phase, total=report.steps, completed=report.step - 1)
            self.tasks[report.phase] = task
            self.loss, self.right = report.loss, report.right
        self.loss = _SMOOTH * self.loss + (1 - _SMOOTH) * report.loss
        self.right = _SMOOTH * self.right + (1 - _SMOOTH) * report.right
        line = f"{report.phase} loss {self.loss:.4f} right {self.right:.2%}"
        self.bar.update(self.tasks[report.phase], completed=report.step, description=line)  # type: ignore[arg-type]
        if report.step % _PRINT_EVERY == 0:
            self.bar.console.print(f"{time.strftime('%H:%M:%S')} step {report.step}/{report.steps} {line}")


def run_evaluation(pair: Path | None, runs: Path, scenes: int, json_out: Path | None) -> None:
    """Evaluate a packed pair or the checkpoints of runs."""
    torch.set_num_threads(1)
    if pair is not None:
        target, drafter = load_exported("target", pair / "target"), load_exported("drafter", pair / "drafter")
    else:
        target = load_checkpoint("target", runs / "target")
        has_drafter = (runs / "drafter" / "checkpoint.pt").exists()
        drafter = load_checkpoint("drafter", runs / "drafter") if has_drafter else None  # type: ignore[assignment]
    assert isinstance(target, TargetLearner)
    assert drafter is None or isinstance(drafter, DrafterLearner)
    with progress_bar() as bar:
        task = bar.add_task("held-out scenes", total=scenes)
        figures = evaluate(target, drafter, pair_tokenizer(), scenes, lambda done: bar.update(task, completed=done))
    show(figures, Console())
    if json_out is not None:
        json_out.write_text(json.dumps(as_json(figures), indent=2) + "\n")


def run_pack(runs: Path, out: Path, scenes: int) -> None:
    """Export, measure what was exported, write cards and clips."""
    from training.packing import pack_pair

    torch.set_num_threads(1)
    with progress_bar() as bar:
        task = bar.add_task("held-out scenes", total=scenes)
        figures = pack_pair(runs, out, scenes, lambda done: bar.update(task, completed=done))
    show(figures, Console())


def progress_bar(console: Console | None = None) -> Progress:
    """A bar with counts, elapsed time and the time left."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console, disable=False)
