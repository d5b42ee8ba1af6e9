"""`eventspec-bench fairness`: what a greedy client leaves to modest ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.fairness.measuring import Load, Result


def fairness(
    greedy: Annotated[int, typer.Option(min=1, help="Sessions of the greedy client, a connection each.")] = 32,
    modest: Annotated[int, typer.Option(min=1, max=16, help="Clients with one session each.")] = 4,
    sessions: Annotated[int, typer.Option(min=2, help="Sessions of the cloud.")] = 24,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of a turn.")] = 20.0,
    turns: Annotated[int, typer.Option(min=1, help="Turns alone, with fair shares, and without.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """One client with many sessions and drafts of nonsense beside modest ones, at a cloud that can't serve all.

    Tells each one's share of the committed tokens and the 95th percentile of its answers, with the fair shares and
    without (`fair_shares = false`). A pass costs 30 ms and 2 ms a token, whatever this machine can do. Status 0 only
    if modest clients fare better with the shares, and nobody's text changes.
    """
    from benchmarks.fairness.measuring import Setting, measure

    result = measure(Setting(greedy=greedy, modest=modest, sessions=sessions, seconds=seconds, turns=turns))
    typer.echo(json.dumps(result.as_dict()) if as_json else _page(result))
    raise typer.Exit(0 if result.good else 1)


def _page(result: Result) -> str:
    lines = [f"{'':22}{'share of tokens':>30}{'answers':>10}{'p50':>9}{'p95':>9}{'refusals':>10}"]
    for name, load in (("alone", result.alone), ("with fair shares", result.fair), ("without", result.unfair)):
        lines += _rows(name, load)
    lines.append("text: the same for all" if result.same_text else "text: DIFFERENT")
    return "\n".join(lines)


def _rows(name: str, load: Load) -> list[str]:
    from benchmarks.fairness.measuring import GREEDY

    values, shares = load.as_dict(), load.shares
    own = [share for client, share in shares.items() if client != GREEDY]
    refused = sum(count for client, count in load.refusals.items() if client != GREEDY)
    spread = f"{sum(own):.1%} ({min(own):.1%} to {max(own):.1%} each)"
    rows = [
        f"{name + ', modest':22}{spread:>30}{values['modest_answers']:>10}{_s(values['modest_p50_s'])}"
        f"{_s(values['modest_p95_s'])}{refused:>10}"
    ]
    if GREEDY in shares:
        rows.append(
            f"{name + ', greedy':22}{shares[GREEDY]:>30.1%}{values['greedy_answers']:>10}{'':>9}"
            f"{_s(values['greedy_p95_s'])}{load.refusals[GREEDY]:>10}"
        )
    return rows


def _s(seconds: float | None) -> str:
    return f"{'none':>9}" if seconds is None else f"{seconds:>7.2f} s"
