"""The other drafter as it is shipped: without the vision tower that it shares with the drafter beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from common.errors import ModelError
from edge.eventgpt.loading import TOWER_FROM
from training.vocabulary.drafter import OTHER_PLAN, export_other

_TOWER = "model.visual_tower."


def pack_other(run: Path, out: Path, beside: str) -> None:
    """Export the drafter of `run` to `out`, but for the weights that it shares with the drafter `beside` it.

    Raises:
        ModelError: its vision tower isn't that drafter's.
    """
    export_other(run, out)
    path = out / "model.safetensors"
    own, other = load_file(path), load_file(out.resolve().parent / beside / path.name)
    shared = {key for key in own if key.startswith(_TOWER)}
    if any(key not in other or not own[key].equal(other[key]) for key in shared):
        raise ModelError(f"the vision tower of {run} isn't that of {beside}: both were trained apart")
    save_file({key: tensor for key, tensor in own.items() if key not in shared}, path, metadata={"format": "pt"})
    path.chmod(0o644)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, TOWER_FROM: beside}, indent=2) + "\n")


def other_card(values: dict[str, dict[str, Any]], twins: int, sizes: tuple[int, int], scenes: int) -> str:
    """The other drafter's README: what it is, how it was trained, and figures (`values` as `vocabularies` writes them).

    `sizes` are the numbers of ids of the drafter and the target, `twins` those that are the same text.
    """
    (phase,) = OTHER_PLAN
    rows = "\n".join(
        f"| {name} | {row['acceptance']:.1%} | "
        + " | ".join(f"{cell['tokens_a_verification']:.2f}" for cell in row["by_draft_length"].values())
        + " |"
        for name, row in values.items()
    )
    lengths = ", ".join(next(iter(values.values()))["by_draft_length"])
    return f"""# eventspec tiny drafter with a vocabulary of its own

The tiny drafter's layers behind another tokenizer: byte-level BPE of {sizes[0]} ids. The target has {sizes[1]};
{twins} pieces are the same text in both. It is there to draft for the tiny target across vocabularies
(docs/alignment.md). Its vision tower is that of the drafter in the folder beside this one, and isn't stored again
(`{TOWER_FROM}` in config.json).

## Data and training
The drafter's data, spelled anew. `eventspec-train other-drafter`: every layer starts as the shipped drafter's, a new
row of embeddings and head as the mean of the rows that spelled its text; then {phase.steps} steps of {phase.batch}
scenes, peak rate {phase.rate:g}, the vision tower at rest (seed 0, bfloat16 autocast, AdamW, one cycle).

## Measured
These fp16 weights run in fp32 on {scenes} held-out scenes against the tiny target's own greedy answers
(`eventspec-train vocabularies` repeats this). Acceptance of one-token drafts, and tokens a verification with drafts of
{lengths}:

| drafts by | acceptance | {" | ".join(f"drafts of {n}" for n in lengths.split(", "))} |
|---|---|---|---|---|
{rows}

Licence: Apache-2.0.
"""
