"""What the numbers say, in sentences: where stream-to-cloud wins, where it loses, and what stands beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report.comparison import BASELINE, MIN_PAIRS, Comparison, Contrast, Row, Verdict, contrast
from benchmarks.report.grid import METRICS
from benchmarks.report.settings import Setting
from benchmarks.report.wording import data, milliseconds, number, plural, share, shown, times

WIN, LOSS, EVEN, NOTE = "win", "loss", "even", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence; `tone` is `win`, `loss`, `even` or `note`."""

    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class _Case:
    """One link at which one paradigm is held against another."""

    setting: Setting
    contrast: Contrast
    own_ms: float
    other_ms: float


def findings_of(comparisons: Sequence[Comparison]) -> list[Finding]:
    """All findings, family of settings by family."""
    families: dict[object, list[Comparison]] = {}
    for comparison in comparisons:
        families.setdefault(comparison.setting.family, []).append(comparison)
    found: list[Finding] = []
    for family in families.values():
        found += _of_family(family)
    if found and not any(finding.tone == LOSS for finding in found):
        found.append(Finding(NOTE, "In no case that was measured did stream to cloud lose. It says nothing of others."))
    return list(dict.fromkeys(found))


def _of_family(family: Sequence[Comparison]) -> list[Finding]:
    labels = list(dict.fromkeys(row.label for c in family for row in c.rows))
    streams = list(dict.fromkeys(row.label for c in family for row in c.streams))
    where = _where(family)
    if not streams:
        return [Finding(NOTE, f"{where}: no run of stream to cloud, so nothing is said of it.")]
    if BASELINE not in labels:
        return [Finding(NOTE, f"{where}: no run of cloud only, so nothing is said of winning or losing against it.")]
    found = []
    others = [label for label in labels if label not in streams and not label.startswith(("in_process", "edge_only"))]
    for other in others:
        for stream in streams:
            for metric in METRICS:
                found += _versus(_cases(family, stream, other, metric), stream, other, metric, where)
    for stream in streams:
        found += _costs(family, stream, where)
    return [*found, *_alone(family, where)]


def _where(family: Sequence[Comparison]) -> str:
    setting = family[0].setting
    if len(family) == 1:
        return f"{setting.command}, {setting.name}"
    text = f"{setting.command}, {plural(len(family), 'link')} ({setting.backend})"
    return f"{text}, replayed {setting.replayed}" if setting.replayed else text


def _cases(family: Sequence[Comparison], stream: str, other: str, metric: str) -> list[_Case]:
    found = []
    for comparison in family:
        own, base = (comparison.setting.of(label) for label in (stream, other))
        held = contrast(own, base, metric)
        if held is not None:
            middle = [median(v for run in side if (v := getattr(run, metric))) for side in (own, base)]
            found.append(_Case(comparison.setting, held, *middle))
    return found


def _versus(cases: Sequence[_Case], stream: str, other: str, metric: str, where: str) -> list[Finding]:
    if len(cases) == 1:
        return [_single(cases[0], stream, other, metric, where)]
    found = []
    for verdict, tone in (
        (Verdict.FASTER, WIN),
        (Verdict.SLOWER, LOSS),
        (Verdict.UNCLEAR, EVEN),
        (Verdict.TOO_FEW, NOTE),
    ):
        alike = [case for case in cases if case.contrast.verdict is verdict]
        if alike:
            found.append(Finding(tone, _many(alike, len(cases), stream, other, metric, where)))
    return found


def _single(case: _Case, stream: str, other: str, metric: str, where: str) -> Finding:
    held = case.contrast
    medians = f"median {milliseconds(case.own_ms)} against {milliseconds(case.other_ms)}"
    subject = f"{where}: in {METRICS[metric]}, {shown(stream)}"
    if held.verdict is Verdict.TOO_FEW:
        return Finding(NOTE, f"{subject} has fewer than {MIN_PAIRS} answers in common with {shown(other)}: {medians}.")
    slower = f"slower on {held.slower} of {held.pairs} answers"
    if held.verdict is Verdict.UNCLEAR:
        return Finding(EVEN, f"{subject} shows no clear difference from {shown(other)} ({medians}, {slower}).")
    tone, word = (WIN, "beats") if held.verdict is Verdict.FASTER else (LOSS, "loses to")
    return Finding(tone, f"{subject} {word} {shown(other)}: {times(held.ratio)} as fast ({medians}, {slower}).")


def _many(alike: Sequence[_Case], count: int, stream: str, other: str, metric: str, where: str) -> str:
    subject = f"{where}: in {METRICS[metric]}, {shown(stream)}"
    at = f"at {len(alike)} of {count} links"
    verdict = alike[0].contrast.verdict
    if verdict is Verdict.TOO_FEW:
        return f"{subject} has fewer than {MIN_PAIRS} answers in common with {shown(other)} {at}."
    if verdict is Verdict.UNCLEAR:
        return f"{subject} shows no clear difference from {shown(other)} {at}."
    if verdict is Verdict.FASTER:
        best = max(alike, key=lambda case: case.contrast.ratio)
        return f"{subject} beats {shown(other)} {at}, most by {times(best.contrast.ratio)} at {best.setting.name}."
    worst = min(alike, key=lambda case: case.contrast.ratio)
    return (
        f"{subject} loses to {shown(other)} {at}, worst at {worst.setting.name}: only "
        f"{times(worst.contrast.ratio)} as fast."
    )


def _costs(family: Sequence[Comparison], stream: str, where: str) -> list[Finding]:
    pairs = [(row, base) for c in family if (row := c.row(stream)) and (base := c.row(BASELINE))]
    found = []
    passes = [(r.passes_per_token, b.passes_per_token) for r, b in pairs if r.passes_per_token and b.passes_per_token]
    if passes:
        own, base = (median(values) for values in zip(*passes, strict=True))
        text = (
            f"{where}: {shown(stream)} costs the large model {number(own)} passes a token, cloud only {number(base)}."
        )
        found.append(Finding(_tone(own, base), text))
    up = [(row.uplink_bytes, base.uplink_bytes) for row, base in pairs]
    own, base = (median(values) for values in zip(*up, strict=True))
    if base:
        text = f"{where}: {shown(stream)} sends {times(own / base)} the bytes of cloud only up"
        found.append(Finding(_tone(own, base), f"{text} ({data(own)} against {data(base)} an answer)."))
    return found


def _tone(own: float, base: float) -> str:
    """Of a cost: less is a win; within 2 % it is even."""
    return EVEN if abs(own / base - 1) <= 0.02 else WIN if own < base else LOSS


def _alone(family: Iterable[Comparison], where: str) -> list[Finding]:
    """The edge alone is often the fastest; what it gives up is the target's answer."""
    rows = [(row, base) for c in family if (row := c.row("edge_only")) and (base := c.row(BASELINE))]
    if not rows:
        return []
    own, base = (median(row.total.median for row in side) for side in zip(*rows, strict=True))
    text = f"{where}: the edge alone takes {milliseconds(own)} where cloud only takes {milliseconds(base)}, unverified"
    return [Finding(NOTE, text + _agreement([row for row, _ in rows], [base for _, base in rows]) + ".")]


def _agreement(rows: Sequence[Row], bases: Sequence[Row]) -> str:
    same, comparable = sum(row.same for row in rows), sum(row.comparable for row in rows)
    text = f"; {share(same, comparable)} of its answers are the large model's" if comparable else ""
    right, judged = sum(row.right for row in rows), sum(row.judged for row in rows)
    base_right, base_judged = sum(row.right for row in bases), sum(row.judged for row in bases)
    if judged and base_judged:
        text += f", {share(right, judged)} are right (the large model: {share(base_right, base_judged)})"
    return text
