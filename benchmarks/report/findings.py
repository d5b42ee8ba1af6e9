"""What the numbers say, in sentences: where stream-to-cloud wins, where it loses, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.report.comparison import BASELINE, MIN_PAIRS, STREAM, Comparison, Contrast, Row, Verdict, contrast
from benchmarks.report.grid import METRICS
from benchmarks.report.headline import headline_of
from benchmarks.report.settings import Setting
from benchmarks.report.wording import data, link_name, milliseconds, number, plural, share, shown, shown_mode, times
from benchmarks.results import is_ahead

WIN, LOSS, EVEN, NOTE = "win", "loss", "even", "note"
_TONES = {Verdict.FASTER: WIN, Verdict.SLOWER: LOSS, Verdict.UNCLEAR: EVEN, Verdict.TOO_FEW: NOTE}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is of one kind, a sentence a line; `tone` is `win`, `loss`, `even` or `note`."""

    tone: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What one family of settings shows; `where` names command, link and backend, `headline` the fastest ways."""

    where: str
    replayed: str
    items: tuple[Finding, ...]
    headline: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """One link at which one mode of stream-to-cloud is held against a rival."""

    setting: Setting
    contrast: Contrast
    own_ms: float
    other_ms: float


@dataclass(slots=True)
class _Clauses:
    """Clauses by tone, rival and metric, and whole sentences by tone."""

    held: dict[str, dict[str, dict[str, list[str]]]] = field(default_factory=dict)
    sentences: dict[str, list[str]] = field(default_factory=dict)

    def add(self, tone: str, rival: str, metric: str, clause: str) -> None:
        self.held.setdefault(tone, {}).setdefault(rival, {}).setdefault(metric, []).append(clause)

    def say(self, tone: str, sentence: str) -> None:
        self.sentences.setdefault(tone, []).append(sentence)

    def findings(self) -> tuple[Finding, ...]:
        found = []
        for tone in (WIN, LOSS, EVEN, NOTE):
            lines = [
                line
                for rival, metrics in self.held.get(tone, {}).items()
                for line in (_even(rival, metrics) if tone == EVEN else _against(rival, metrics))
            ]
            lines += self.sentences.get(tone, [])
            found += [Finding(tone, tuple(lines))] if lines else []
        return tuple(found)


def _against(rival: str, metrics: dict[str, list[str]]) -> list[str]:
    return [f"Against {shown(rival)}, {METRICS[metric]}: {'; '.join(clauses)}." for metric, clauses in metrics.items()]


def _even(rival: str, metrics: dict[str, list[str]]) -> list[str]:
    parts = [f"{METRICS[metric]} ({', '.join(clauses)})" for metric, clauses in metrics.items()]
    return [f"Against {shown(rival)}, no clear difference in {' and '.join(parts)}."]


def findings_of(comparisons: Sequence[Comparison]) -> list[Findings]:
    """What every family of settings shows."""
    families: dict[object, list[Comparison]] = {}
    for comparison in comparisons:
        families.setdefault(comparison.setting.family, []).append(comparison)
    return [_of_family(family) for family in families.values()]


def _of_family(family: Sequence[Comparison]) -> Findings:
    setting = family[0].setting
    link = link_name(setting.link) if len(family) == 1 else plural(len(family), "link")
    where, clauses = f"{setting.command}: {link} ({setting.backend})", _Clauses()
    labels = list(dict.fromkeys(row.label for c in family for row in c.rows))
    streams = [label for label in labels if label.partition("/")[0] == STREAM]
    if not streams:
        clauses.say(NOTE, "No run of stream to cloud, so nothing is said of it.")
    elif BASELINE not in labels:
        clauses.say(NOTE, "No run of cloud only, so nothing is said of winning or losing against it.")
    else:
        rivals = [x for x in labels if x not in streams and x.partition("/")[0] not in ("in_process", "edge_only")]
        for rival in rivals:
            for metric in METRICS:
                for stream in (s for s in streams if is_ahead(s) or not is_ahead(rival)):
                    _versus(clauses, _cases(family, stream, rival, metric), stream, rival, metric)
        for stream in streams:
            _costs(clauses, family, stream)
        if LOSS not in clauses.held and LOSS not in clauses.sentences:
            clauses.say(NOTE, "Nothing measured here has stream to cloud losing; that says nothing of other cases.")
    _alone(clauses, family)
    return Findings(where, setting.replayed, clauses.findings(), headline_of(family))


def _cases(family: Sequence[Comparison], stream: str, rival: str, metric: str) -> list[_Case]:
    found = []
    for comparison in family:
        own, base = (comparison.setting.of(label) for label in (stream, rival))
        held = contrast(own, base, metric)
        if held is not None:
            middle = [median(v for run in side if (v := getattr(run, metric))) for side in (own, base)]
            found.append(_Case(comparison.setting, held, *middle))
    return found


def _versus(clauses: _Clauses, cases: Sequence[_Case], stream: str, rival: str, metric: str) -> None:
    for verdict, tone in _TONES.items():
        alike = [case for case in cases if case.contrast.verdict is verdict]
        if alike:
            words = _one(alike[0]) if len(cases) == 1 else _many(alike, len(cases))
            clauses.add(tone, rival, metric, f"{_mode(stream)} {words}")


def _mode(stream: str) -> str:
    mode = stream.partition("/")[2]
    return shown_mode(mode) if mode else shown(stream)


def _one(case: _Case) -> str:
    held = case.contrast
    medians = f"{milliseconds(case.own_ms)} against {milliseconds(case.other_ms)}"
    if held.verdict is Verdict.TOO_FEW:
        return f"has fewer than {MIN_PAIRS} answers to compare ({medians})"
    slower = f"slower on {held.slower} of {held.pairs} answers"
    if held.verdict is Verdict.UNCLEAR:
        return slower
    return f"is {times(held.ratio)} as fast ({medians}; {slower})"


def _many(alike: Sequence[_Case], count: int) -> str:
    at = f"at {len(alike)} of {count} links"
    verdict = alike[0].contrast.verdict
    if verdict is Verdict.TOO_FEW:
        return f"has fewer than {MIN_PAIRS} answers to compare {at}"
    if verdict is Verdict.UNCLEAR:
        return at
    pick, word = (max, "up to") if verdict is Verdict.FASTER else (min, "down to")
    most = pick(alike, key=lambda case: case.contrast.ratio)
    return f"{at}, {word} {times(most.contrast.ratio)} as fast ({link_name(most.setting.link)})"


def _costs(clauses: _Clauses, family: Sequence[Comparison], stream: str) -> None:
    """Of the large model's work and of the uplink: less is a win."""
    pairs = [(row, base) for c in family if (row := c.row(stream)) and (base := c.row(BASELINE))]
    passes = [(r.passes_per_token, b.passes_per_token) for r, b in pairs if r.passes_per_token and b.passes_per_token]
    if passes:
        own, base = (median(values) for values in zip(*passes, strict=True))
        text = f"With {_mode(stream)} the large model runs {number(own)} passes a token; alone, {number(base)}."
        clauses.say(_tone(own, base), text)
    if not pairs:
        return
    own, base = (median(v) for v in zip(*((r.uplink_bytes, b.uplink_bytes) for r, b in pairs), strict=True))
    if base:
        text = f"With {_mode(stream)} the bytes sent up are {times(own / base)} those of cloud only"
        clauses.say(_tone(own, base), f"{text} ({data(own)} against {data(base)} an answer).")


def _tone(own: float, base: float) -> str:
    """Of a cost: less is a win; within 2 % it is even."""
    return EVEN if abs(own / base - 1) <= 0.02 else WIN if own < base else LOSS


def _alone(clauses: _Clauses, family: Sequence[Comparison]) -> None:
    """The edge alone is often the fastest; what it gives up is the target's answer."""
    rows = [(row, base) for c in family if (row := c.row("edge_only")) and (base := c.row(BASELINE))]
    if not rows:
        return
    own, base = (median(row.total.median for row in side) for side in zip(*rows, strict=True))
    text = f"The edge alone takes {milliseconds(own)} where cloud only takes {milliseconds(base)}, unverified"
    clauses.say(NOTE, text + _agreement([row for row, _ in rows], [base for _, base in rows]) + ".")


def _agreement(rows: Sequence[Row], bases: Sequence[Row]) -> str:
    same, comparable = sum(row.same for row in rows), sum(row.comparable for row in rows)
    text = f"; {share(same, comparable)} of its answers are the large model's" if comparable else ""
    right, judged = sum(row.right for row in rows), sum(row.judged for row in rows)
    base_right, base_judged = sum(row.right for row in bases), sum(row.judged for row in bases)
    if judged and base_judged:
        text += f", {share(right, judged)} are right (the large model's: {share(base_right, base_judged)})"
    return text
