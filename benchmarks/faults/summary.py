"""What a run of faults comes to: counts, recovery times, and a page of text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.faults.judge import Ending
from benchmarks.faults.running import Outcome
from benchmarks.faults.schedule import Kind

_RECOVERIES = {
    "cloud_restart": (Kind.KILL_CLOUD, Kind.KILL_ENGINE, Kind.HANG),
    "link_cut": (Kind.CUT,),
    "reset": (Kind.RESET,),
    "edge_restart": (Kind.KILL_EDGE,),
}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-len(ordered) * round(share * 100) // 100) - 1))]


def summarize(outcomes: Sequence[Outcome], leaked: dict[str, int], about: dict[str, Any]) -> dict[str, Any]:
    """The object of `--json`; its last words are the names that stay.

    A fault counts once, by the worst ending among its answers; `answers` counts them all.
    """
    done = [o for o in outcomes if not o.skipped]
    endings = Counter(o.ending for o in done)
    answers = Counter(v.ending for o in done for v in o.verdicts)
    troubles = [f"{o.fault.index}: {t}" for o in done for t in o.trouble]
    return {
        **about,
        "recovery_s": {name: _recovery(done, kinds) for name, kinds in _RECOVERIES.items()},
        "leaked_sessions": sum(leaked.values()),
        "leaked": leaked,
        "skipped": Counter(f"{o.fault.kind}: {o.skipped}" for o in outcomes if o.skipped),
        "answers": {str(e): answers[e] for e in Ending},
        "failed_share": answers[Ending.FAILED_CLEANLY] / max(1, sum(answers.values())),
        "trouble": troubles,
        "outcomes": [o.as_dict() for o in outcomes],
        "injected": len(done),
        "identical": endings[Ending.IDENTICAL],
        "edge_only": endings[Ending.EDGE_ONLY],
        "refused": endings[Ending.REFUSED],
        "failed_cleanly": endings[Ending.FAILED_CLEANLY],
        "wrong": endings[Ending.WRONG],
        "hung": endings[Ending.HUNG],
        "by_fault": {str(kind): _of_kind(done, kind) for kind in Kind if any(o.fault.kind is kind for o in done)},
    }


def _of_kind(outcomes: Sequence[Outcome], kind: Kind) -> dict[str, int]:
    mine = Counter(o.ending for o in outcomes if o.fault.kind is kind)
    return {"injected": sum(mine.values()), **{str(e): mine[e] for e in Ending}}


def _recovery(outcomes: Sequence[Outcome], kinds: Sequence[Kind]) -> dict[str, float | int] | None:
    """Of the answers that had still tokens to get when the harm was over."""
    times = [r for o in outcomes if o.fault.kind in kinds for r in o.recovered_s]
    if not times:
        return None
    figures = {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95), "worst": max(times)}
    loads = [o.load_s for o in outcomes if o.fault.kind in kinds and o.load_s]
    if loads:
        figures["load_p50"] = percentile(loads, 0.5)
    return {"answers": len(times), **{name: round(value, 3) for name, value in figures.items()}}


def page(summary: dict[str, Any]) -> str:
    """The report as text."""
    lines = [f"{summary['injected']} faults injected (seed {summary['seed']}, {summary['link']})", ""]
    heads = ["fault", "injected", *(str(e) for e in Ending)]
    rows = [[kind, *(str(v) for v in counts.values())] for kind, counts in summary["by_fault"].items()]
    rows.append(["all", *(str(summary[name]) for name in ("injected", *(str(e) for e in Ending)))])
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells))
    answers = ", ".join(f"{count} {name}" for name, count in summary["answers"].items() if count)
    share = f"{summary['failed_share']:.2%} failed"
    lines += ["", f"answers: {answers}; {share}", f"leaked sessions: {summary['leaked_sessions']}"]
    for name, times in summary["recovery_s"].items():
        if times is not None:
            load = f", loading took {times['load_p50']:.1f} s" if "load_p50" in times else ""
            lines.append(
                f"recovery after {name}: p50 {times['p50']:.2f} s, p95 {times['p95']:.2f} s, "
                f"worst {times['worst']:.2f} s, of {times['answers']} answers{load}"
            )
    for text, count in summary["skipped"].items():
        lines.append(f"not injected: {count} x {text}")
    bad = [o for o in summary["outcomes"] if o["ending"] in (Ending.WRONG, Ending.HUNG)]
    for outcome in bad:
        notes = "; ".join(a["note"] for a in outcome["answers"] if a["note"])
        lines.append(f"{outcome['ending'].upper()} --only {outcome['index']}: {outcome['what']}: {notes}")
    return "\n".join([*lines, *(f"trouble {t}" for t in summary["trouble"])])
