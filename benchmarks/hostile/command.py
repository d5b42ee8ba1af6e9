"""`eventspec-bench hostile`: what hostile clients cost honest ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.hostile.measuring import Result


def hostile(
    clients: Annotated[int, typer.Option(min=1, help="Hostile clients.")] = 100,
    honest: Annotated[int, typer.Option(min=1, max=16, help="Honest edges beside them.")] = 4,
    questions: Annotated[int, typer.Option(min=1, help="Questions of each edge, in each turn.")] = 1,
    turns: Annotated[int, typer.Option(min=1, help="Turns alone and beside the hostile ones.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the hostile ones.")] = 0,
    nice: Annotated[int, typer.Option(min=0, max=19, help="Of the hostile ones, who have machines of their own.")] = 19,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Damaged messages, floods, odd videos and files, slow readers, crowds and strangers, beside honest edges.

    Status 0 only if all honest answers are identical to those without, their 95th percentile is at most 1.5 times as
    long, no process was lost, and none has more than a tenth more memory afterwards. Half of the hostile clients share
    three valid tokens, the others have none, or ask an honest edge about odd files.
    """
    from benchmarks.hostile.measuring import Setting, measure

    setting = Setting(hostile=clients, honest=honest, questions=questions, turns=turns, seed=seed, nice=nice)
    result = measure(setting)
    typer.echo(json.dumps(result.as_dict()) if as_json else _page(result))
    raise typer.Exit(0 if result.good else 1)


def _page(result: Result) -> str:
    values = result.as_dict()
    turns = ", ".join(f"{ratio:.2f}" for ratio in sorted(result.ratios))
    lines = [
        f"honest answers: {values['answers']}, of which {result.different} different, {result.failed} failed, "
        f"{result.fallbacks} finished alone",
        f"alone:   p50 {values['alone_p50_ms']:6.0f} ms, p95 {values['alone_p95_ms']:6.0f} ms",
        f"beside:  p50 {values['beside_p50_ms']:6.0f} ms, p95 {values['beside_p95_ms']:6.0f} ms",
        f"ratio of the p95: {result.ratio:.2f}; at most 1.5 (medians, turn by turn: {turns})",
        *(
            f"{one.name}: {one.before_mb:.0f} MB before, {one.after_mb:.0f} MB after"
            f"{'' if one.same else ', ANOTHER PROCESS'}{'' if one.good else ': NOT AS IT WAS'}"
            for one in result.standing
        ),
        f"values of other files told: {result.secrets}",
        f"hostile: {values['misdeeds']:,} misdeeds",
    ]
    for kind, counts in sorted(result.heard.items()):
        heard = ", ".join(f"{what} {count:,}" for what, count in counts.items())
        lines.append(f"  {kind}: {heard}")
    lines.append("afterwards: the pair answers" if result.works_afterwards else "afterwards: THE PAIR DOESN'T ANSWER")
    return "\n".join(lines)
