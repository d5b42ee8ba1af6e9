"""Medians, spread and ratios of the paradigms within one setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from statistics import median

from benchmarks.paradigms.statistics import Spread
from benchmarks.report.settings import Setting
from benchmarks.results import Run, is_ahead

BASELINE = "cloud_only"
STREAM = "stream_to_cloud"
MIN_PAIRS = 4
MIN_CHANGE = 0.02

Key = tuple[str, str, int, float, int]


class Verdict(Enum):
    """What a comparison shows."""

    FASTER = "faster"
    SLOWER = "slower"
    UNCLEAR = "no clear difference"
    TOO_FEW = "too few answers to tell"


@dataclass(frozen=True, slots=True)
class Contrast:
    """How many times as fast as a baseline.

    Attributes:
        ratio: the baseline's time over this one's, taken answer by answer (same clip, question, seed, repetition),
            the median of them; of the two medians where no answers can be paired.
        low: lower quartile of the paired ratios; 0 without pairs.
        high: upper quartile; infinite without pairs.
        pairs: answers that both gave.
        slower: those of them that were slower than the baseline's.
    """

    ratio: float
    low: float
    high: float
    pairs: int
    slower: int

    @property
    def verdict(self) -> Verdict:
        """Faster or slower where the median differs by 2 % and three of four answers agree; else nothing is clear."""
        if self.pairs < MIN_PAIRS:
            return Verdict.TOO_FEW
        if self.ratio >= 1 + MIN_CHANGE and self.low > 1:
            return Verdict.FASTER
        if self.ratio <= 1 - MIN_CHANGE and self.high < 1:
            return Verdict.SLOWER
        return Verdict.UNCLEAR


@dataclass(frozen=True, slots=True)
class Row:
    """One paradigm in one setting. `total`, `ttft`, `tpot` in milliseconds; bytes and passes are medians of an answer.

    Attributes:
        provisional: time to the first drafted token that could be shown, unverified.
        passes_per_token: target passes of all runs over tokens of all runs; None where the target didn't run.
        accepted: accepted draft tokens, `drafted` those checked.
        same: runs whose token ids equal `cloud_only`'s on the same question, of `comparable` ones.
        right: runs whose answer is the expected one, of `judged` ones.
        speed_total: against `cloud_only`; None for itself and without it. `speed_ttft` likewise.
    """

    label: str
    paradigm: str
    lossless: bool
    runs: int
    total: Spread
    ttft: Spread | None
    tpot: Spread | None
    provisional: Spread | None
    passes_per_token: float | None
    drafted: int
    accepted: int
    uplink_bytes: float
    downlink_bytes: float
    same: int
    comparable: int
    right: int
    judged: int
    speed_total: Contrast | None
    speed_ttft: Contrast | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paradigms of one setting side by side."""

    setting: Setting
    rows: tuple[Row, ...]

    def row(self, label: str) -> Row | None:
        """The row of that label."""
        return next((row for row in self.rows if row.label == label), None)

    @property
    def streams(self) -> list[Row]:
        """The rows of stream-to-cloud, in all modes in which the clip comes with the question, as in the baseline."""
        return [row for row in self.rows if row.paradigm == STREAM and not is_ahead(row.label)]

    @property
    def fastest_stream(self) -> Row | None:
        """The mode of stream-to-cloud with the smallest median total time."""
        return min(self.streams, key=lambda row: row.total.median, default=None)


def key_of(run: Run) -> Key:
    """What two runs must share to be compared answer by answer."""
    return (run.clip, run.question, run.seed, run.temperature, run.repetition)


def contrast(runs: Sequence[Run], others: Sequence[Run], metric: str) -> Contrast | None:
    """How many times as fast `runs` are as `others` by `metric` (`total_ms` or `ttft_ms`); None where undefined."""
    own, base = ([(key_of(run), value) for run in side if (value := getattr(run, metric))] for side in (runs, others))
    if not own or not base:
        return None
    by_key = dict(base)
    ratios = [by_key[key] / value for key, value in own if key in by_key]
    spread = Spread.of(ratios)
    if spread is None:
        return Contrast(median(v for _, v in base) / median(v for _, v in own), 0.0, inf, 0, 0)
    return Contrast(spread.median, spread.low, spread.high, len(ratios), sum(ratio < 1 for ratio in ratios))


def compare(setting: Setting) -> Comparison:
    """The table of a setting."""
    base = setting.of(BASELINE)
    return Comparison(setting, tuple(_row(label, setting.of(label), base) for label in setting.labels))


def _row(label: str, runs: Sequence[Run], base: Sequence[Run]) -> Row:
    total = Spread.of(run.total_ms for run in runs)
    assert total is not None
    tokens, passes = sum(run.tokens for run in runs), sum(run.target_passes for run in runs)
    own = {key_of(run): list(run.token_ids) for run in base if run.token_ids}
    comparable = [run for run in runs if run.token_ids and key_of(run) in own]
    judged = [run for run in runs if run.expected is not None]
    against = [] if label == BASELINE else base
    return Row(
        label=label,
        paradigm=runs[0].paradigm,
        lossless=all(run.lossless for run in runs),
        runs=len(runs),
        total=total,
        ttft=Spread.of(run.ttft_ms for run in runs),
        tpot=Spread.of(run.tpot_ms for run in runs),
        provisional=Spread.of(_provisional(run) for run in runs),
        passes_per_token=passes / tokens if tokens and passes else None,
        drafted=sum(run.drafted for run in runs),
        accepted=sum(run.accepted for run in runs),
        uplink_bytes=median(run.uplink_total for run in runs),
        downlink_bytes=median(run.downlink_bytes for run in runs),
        same=sum(list(run.token_ids) == own[key_of(run)] for run in comparable),
        comparable=len(comparable),
        right=sum(run.answer.strip() == (run.expected or "").strip() for run in judged),
        judged=len(judged),
        speed_total=contrast(runs, against, "total_ms"),
        speed_ttft=contrast(runs, against, "ttft_ms"),
    )


def _provisional(run: Run) -> float | None:
    value = run.extra.get("ttft_provisional_ms")
    return float(value) if isinstance(value, int | float) else None
