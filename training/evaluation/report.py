"""The figures of a pair in one place: as JSON for machines, as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from training.evaluation.acceptance import Acceptance, measure
from training.evaluation.cases import Case, held_out
from training.evaluation.speed import Costs, measure_costs
from training.evaluation.target import accuracy, greedy_answers
from training.models import DrafterLearner, TargetLearner
from training.objective import prefix_of

DRAFT_LENGTHS = (3, 5, 8)
_POSITIONS = 12


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on held-out scenes.

    Attributes:
        scenes: number of held-out scenes.
        accuracy: right answers and questions of the target, by kind.
        acceptance: of the drafter against the target's greedy answers; None without a drafter.
        costs: single-token forwards of both; None without a drafter.
        parameters: of each model.
    """

    scenes: int
    accuracy: dict[str, tuple[int, int]]
    acceptance: Acceptance | None
    costs: Costs | None
    parameters: dict[str, int]

    @property
    def right(self) -> float:
        """Share of all held-out questions that the target answers exactly right."""
        return sum(r for r, _ in self.accuracy.values()) / max(1, sum(n for _, n in self.accuracy.values()))


def evaluate(
    target: TargetLearner,
    drafter: DrafterLearner | None,
    tokenizer: Tokenizer,
    scenes: int,
    tick: Callable[[int], None],
) -> Figures:
    """Measure target and drafter on `scenes` held-out scenes; `tick` is told how many are done."""
    prefix = prefix_of(target, tokenizer)
    cases: list[Case] = []
    answers: list[list[list[int]]] = []
    for case in held_out(scenes, tokenizer):
        cases.append(case)
        answers.append(greedy_answers(target, prefix, case))
        tick(len(cases))
    acceptance, costs = None, None
    sizes = {"target": _size(target)}
    if drafter is not None:
        acceptance = measure(drafter, prefix_of(drafter, tokenizer), tokenizer, cases, answers)
        costs = measure_costs(target, drafter)
        sizes["drafter"] = _size(drafter)
    return Figures(scenes, accuracy(cases, answers), acceptance, costs, sizes)


def as_json(figures: Figures) -> dict[str, Any]:
    """The figures as plain values, rounded for reading."""
    found: dict[str, Any] = {
        "held_out_scenes": figures.scenes,
        "questions": sum(n for _, n in figures.accuracy.values()),
        "target_right": round(figures.right, 6),
        "target_right_by_kind": {kind: round(r / n, 6) for kind, (r, n) in figures.accuracy.items()},
        "parameters": figures.parameters,
    }
    if figures.acceptance is not None:
        acceptance = figures.acceptance
        found["acceptance"] = round(acceptance.rate, 6)
        found["acceptance_by_class"] = _rates(sorted(acceptance.by_class.items()))
        found["acceptance_by_position"] = _rates(list(acceptance.by_position.items()))
        found["by_draft_length"] = {
            str(n): {
                "accepted_of_drafted": round(acceptance.drafted_rate(n), 6),
                "mean_acceptance_length": round(acceptance.mean_length(n), 3),
            }
            for n in DRAFT_LENGTHS
        }
    if figures.costs is not None:
        found["forward_ms"] = {
            "target": round(figures.costs.target_ms, 3),
            "drafter": round(figures.costs.drafter_ms, 3),
            "ratio": round(figures.costs.ratio, 2),
        }
    return found


def show(figures: Figures, console: Console) -> None:
    """Print the figures as tables."""
    values = as_json(figures)
    table = Table("kind", "right", "asked", title=f"Target: exact answers on {figures.scenes} held-out scenes")
    for kind, (right, asked) in figures.accuracy.items():
        table.add_row(kind, f"{right / asked:.1%}", str(asked))
    table.add_row("all", f"{figures.right:.1%}", str(values["questions"]), style="bold")
    console.print(table)
    if figures.acceptance is None:
        return
    table = Table(
        "class of word", "accepted", "tokens", title="Drafter: acceptance, re-conditioned on committed tokens"
    )
    for kind, (accepted, drafted) in sorted(figures.acceptance.by_class.items()):
        table.add_row(kind, f"{accepted / drafted:.1%}", str(drafted))
    table.add_row("all", f"{figures.acceptance.rate:.1%}", "", style="bold")
    console.print(table)
    table = Table("draft length", "accepted / drafted", "mean acceptance length", title="With longer drafts")
    for length, row in values["by_draft_length"].items():
        table.add_row(length, f"{row['accepted_of_drafted']:.1%}", f"{row['mean_acceptance_length']:.2f}")
    console.print(table)
    by_position = list(values["acceptance_by_position"].items())[:_POSITIONS]
    console.print("by position: " + "  ".join(f"{at} {rate:.0%}" for at, rate in by_position))
    cost = values["forward_ms"]
    console.print(
        f"single-token forward: target {cost['target']} ms, drafter {cost['drafter']} ms, ratio {cost['ratio']}"
    )


def _rates(rows: Sequence[tuple[str, list[int]]]) -> dict[str, float]:
    return {key: round(accepted / drafted, 6) for key, (accepted, drafted) in rows}


def _size(learner: TargetLearner | DrafterLearner) -> int:
    return sum(parameter.numel() for parameter in learner.model.parameters())
