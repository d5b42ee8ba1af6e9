"""What `metrics` and `bound` print and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from common.adapters import FusedAdapter, load_adapter
from common.replay import load_profile, shipped_profiles
from training.alignment import metrics
from training.alignment.chunks import load_chunks
from training.alignment.commands import load_pair
from training.alignment.decisions import DRAFTS as LENGTHS_TRIED
from training.alignment.decisions import LENGTHS, Decision, decide, decide_by
from training.alignment.measure import DRAFTS, Heads, Judged, figures, judge
from training.alignment.rolling import roll
from training.alignment.rollouts import rolled_chunks
from training.alignment.speedup import Times, estimate
from training.commands import progress_bar
from training.evaluation.bound import Bound, bound
from training.evaluation.cases import held_out
from training.evaluation.speed import measure_lengths, measure_times
from training.tokenizer import pair_tokenizer

_DRAFT = 5
_ROLLED = 300
_PARTS = ("prefill", "decode", "end to end")
RAW = "raw ids"


def run_metrics(
    states: Path,
    adapters: list[Path],
    views: tuple[bool, bool],
    json_out: Path | None,
    threads: int,
    pair: Path | None,
    drafter_folder: Path | None,
) -> None:
    """Measure raw ids and each adapter; print a table, write everything to `json_out`.

    `views` are the flags `whole` and `blind` of `judge`.
    """
    torch.set_num_threads(threads)
    target, drafter = load_pair(pair, drafter_folder)
    heads = Heads(target.lm_head, drafter.lm_head, target.language.embed_tokens)
    tokenizer = pair_tokenizer()
    ways = {RAW: None} | {folder.name: load_adapter(folder).adapter for folder in adapters}
    times = measure_times(target, drafter, _DRAFT)
    found: dict[str, dict[str, Any]] = {}
    for name, adapter in ways.items():
        judged = judge(states, adapter, heads, tokenizer, *views)
        found[name] = figures(judged) | {"estimates": _estimates(judged, times)}
        if isinstance(adapter, FusedAdapter) and not views[1] and rolled_chunks(states):
            found[name]["rolled"] = roll(states, adapter, heads, _ROLLED, _DRAFT)
        found[name]["parameters"] = sum(p.numel() for p in adapter.parameters()) if adapter is not None else 0
    _show(found, Console())
    if json_out is not None:
        body = {"times_ms": _as_dict(times), "hidden_tokens": times.hidden, "ways": found}
        json_out.write_text(json.dumps(body, indent=1) + "\n")


def run_bound(states: Path, scenes: int, draws: int, asks: int, json_out: Path | None) -> None:
    """Bound the acceptance of the answers in `states`."""
    answers: dict[int, list[list[int]]] = {}
    for chunk in load_chunks(states):
        starts, ids = chunk.starts.tolist(), chunk.tensors["target_ids"].tolist()
        for at, seed in enumerate(chunk.tensors["scenes"].tolist()):
            answers.setdefault(seed, []).append(ids[starts[at] : starts[at + 1]])
    tokenizer = pair_tokenizer()
    cases = list(held_out(min(scenes, len(answers)), tokenizer))
    with progress_bar() as bar:
        task = bar.add_task("held-out scenes", total=len(cases))
        given = [answers[case.scene.seed] for case in cases]
        found = bound(cases, given, tokenizer, lambda done: bar.update(task, completed=done), draws, asks)
    _show_bound(found, Console())
    if json_out is not None:
        body = {
            "scenes": len(cases),
            "tokens": found.tokens,
            "unknown": found.unknown,
            "expected": found.expected,
            "reached": found.reached,
            "by_class": {kind: [e / n, r / n, int(n)] for kind, (e, r, n) in sorted(found.by_class.items())},
        }
        json_out.write_text(json.dumps(body, indent=1) + "\n")


def _estimates(judged: Judged, times: Times) -> dict[str, Any]:
    early, late = metrics.phases(judged.flags, judged.mask, times.hidden)
    result = estimate(judged.flags, judged.mask, times, _DRAFT)
    speed = {"prefill": result.prefill, "decode": result.decode, "end_to_end": result.end_to_end}
    return {"draft": _DRAFT, "acceptance_prefill": early, "acceptance_decode": late, "speedup": speed}


def _show(found: dict[str, dict[str, Any]], console: Console) -> None:
    lengths = [f"length at {draft}" for draft in DRAFTS]
    table = Table("drafts from", "accepted", *lengths, "top 5", "cos (proxy)", "accept@.90 (proxy)", "speed-up (est.)")
    for name, row in found.items():
        proxies = row.get("proxies")
        table.add_row(
            name,
            f"{row['acceptance']:.2%}",
            *(f"{row['mean_length'][str(draft)]:.2f}" for draft in DRAFTS),
            f"{row['top']['5']['share']:.1%}",
            f"{proxies['cosine_mean']:.3f}" if proxies else "",
            f"{proxies['by_threshold']['0.90']['accept']:.1%}" if proxies else "",
            f"{row['estimates']['speedup']['end_to_end']:.2f}",
        )
    console.print(table)
    table = Table("class of word", "tokens", *found)
    first = next(iter(found.values()))
    for kind, (_, tokens) in first["by_class"].items():
        table.add_row(kind, str(tokens), *(f"{row['by_class'][kind][0]:.1%}" for row in found.values()))
    console.print(table)


def _show_bound(found: Bound, console: Console) -> None:
    table = Table("class of word", "tokens", "bound (expected)", "bound (reached)")
    for kind, (expected, reached, tokens) in sorted(found.by_class.items()):
        table.add_row(kind, str(int(tokens)), f"{expected / tokens:.1%}", f"{reached / tokens:.1%}")
    table.add_row("all", str(found.tokens), f"{found.expected:.2%}", f"{found.reached:.2%}", style="bold")
    console.print(table)


def _as_dict(times: Times) -> dict[str, float]:
    return {name: round(getattr(times, name), 3) for name in Times.__dataclass_fields__}


def run_decide(states: Path, profiles: list[str], threads: int) -> None:
    """Print the decision table of the tiny pair on this machine, and of these replay profiles (all shipped ones)."""
    torch.set_num_threads(threads)
    target, drafter = load_pair(None)
    heads = Heads(target.lm_head, drafter.lm_head, target.language.embed_tokens)
    judged = judge(states, None, heads, pair_tokenizer())
    shares = [f"{side}, {n} tokens" for side in ("target", "drafter") for n in LENGTHS]
    table = Table(
        "stage times", *shares, "hidden", "draft", "passes/token", "prefill", "decode", "end to end", "verdict"
    )
    table.title = "T_prefill / T_total, and estimated speed-ups with the tiny pair's acceptance of raw ids"
    here = measure_lengths(target, drafter, LENGTHS_TRIED)
    rows: list[Decision] = [decide_by("tiny pair, measured now", here.__getitem__, judged.flags, judged.mask)]
    rows += [decide(load_profile(name), judged.flags, judged.mask) for name in profiles or shipped_profiles()]
    for row in rows:
        table.add_row(
            row.name,
            *(f"{value:.1%}" for value in (*row.target_share, *row.drafter_share)),
            str(row.hidden),
            str(row.draft),
            f"{row.passes:.2f}",
            *(f"{value:.2f}" for value in (row.prefill, row.decode, row.end_to_end)),
            row.verdict,
        )
    console = Console(width=200)
    console.print(table)
    tiny = here[_DRAFT]
    console.print(
        f"tiny pair: prefill with vision {tiny.target_prefill:.1f} ms (drafter {tiny.drafter_prefill:.1f}), a token "
        f"{tiny.target_token:.2f} ({tiny.drafter_token:.2f}), a pass over drafts of "
        + ", ".join(f"{draft}: {times.verify:.2f}" for draft, times in here.items())
        + " ms"
    )
