"""The pair as it is shipped: fp16 weights, one tokenizer, model cards with figures of what was exported, clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from training.cards import drafter_card, target_card
from training.clips import write_clips
from training.evaluation.report import Figures, as_json, evaluate
from training.export import export, load_checkpoint, load_exported
from training.models import DrafterLearner, TargetLearner
from training.tokenizer import pair_tokenizer

_LIMIT_MB = 25.0


def pack_pair(runs: Path, out: Path, scenes: int, tick: Callable[[int], None]) -> Figures:
    """Export the checkpoints of `runs` to `out`, measure the exported weights, write cards and clips.

    Args:
        runs: folder with `target` and `drafter`.
        out: where the pair goes.
        scenes: held-out scenes to measure on.
        tick: told how many scenes are done.
    """
    for kind in ("target", "drafter"):
        export(load_checkpoint(kind, runs / kind), out / kind)
    tokenizer = pair_tokenizer()
    tokenizer.save(str(out / "tokenizer.json"))
    target, drafter = (load_exported(kind, out / kind) for kind in ("target", "drafter"))
    assert isinstance(target, TargetLearner)
    assert isinstance(drafter, DrafterLearner)
    figures = evaluate(target, drafter, tokenizer, scenes, tick)
    values = as_json(figures)
    steps = {kind: _steps(runs / kind) for kind in ("target", "drafter")}
    (out / "target" / "README.md").write_text(target_card(values, steps["target"]))
    (out / "drafter" / "README.md").write_text(drafter_card(values, steps["drafter"]))
    (out / "figures.json").write_text(json.dumps(values, indent=2) + "\n")
    write_clips(out / "clips", target, tokenizer)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    if size > _LIMIT_MB:
        raise AssertionError(f"the pair has {size:.1f} MB, {_LIMIT_MB:.0f} are allowed")
    return figures


def _steps(folder: Path) -> dict[str, int]:
    """Steps taken in each phase, from the log."""
    taken: dict[str, int] = {}
    for line in (folder / "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        taken[row["phase"]] = max(taken.get(row["phase"], 0), int(row["step"]))
    return taken
