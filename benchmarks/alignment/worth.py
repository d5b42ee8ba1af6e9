"""What each way of drafting came to, from the reports of its answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.paradigms.statistics import Spread, paired_ratios
from benchmarks.report.word_classes import Classify, checked_positions
from benchmarks.results import Run

Counts = dict[str, list[int]]


@dataclass(slots=True)
class Worth:
    """One way of drafting.

    Attributes:
        label: of the way.
        answers, tokens: how many.
        checked, right: draft tokens that a pass checked behind a right prefix, and those that were the target's choice.
        by_class: [right, checked] by class of word.
        by_place: [right, checked] by place in the draft.
        passes: of the target, over all answers.
        verified, verifications: committed tokens of passes that checked drafts, and those passes.
        draft_bytes, drafted: bytes of drafts on the wire, and tokens that were drafted.
        time_ratio: median of this way's time over that of ids, question by question.
        time_quartiles: the lower and the upper quartile of these ratios.
        alone_ratio: median of its time over that of the cloud alone, if that was asked too.
    """

    label: str
    answers: int = 0
    tokens: int = 0
    checked: int = 0
    right: int = 0
    by_class: Counts = field(default_factory=dict)
    by_place: Counts = field(default_factory=dict)
    passes: int = 0
    verified: int = 0
    verifications: int = 0
    draft_bytes: int = 0
    drafted: int = 0
    time_ratio: float | None = None
    time_quartiles: tuple[float, float] | None = None
    alone_ratio: float | None = None

    @property
    def acceptance(self) -> float | None:
        """True acceptance: of the tokens that could be right, those that were."""
        return self.right / self.checked if self.checked else None

    @property
    def mean_length(self) -> float | None:
        """Committed tokens a verification, correction or bonus included."""
        return self.verified / self.verifications if self.verifications else None

    @property
    def bytes_a_token(self) -> float | None:
        """Bytes of drafts on the wire for each token drafted."""
        return self.draft_bytes / self.drafted if self.drafted else None

    @property
    def passes_a_token(self) -> float:
        """Target passes for each token of an answer."""
        return self.passes / max(1, self.tokens)

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        plain = {name: getattr(self, name) for name in Worth.__dataclass_fields__}
        means = ("acceptance", "mean_length", "bytes_a_token", "passes_a_token")
        return plain | {name: getattr(self, name) for name in means}


def worth_of(
    label: str, runs: Sequence[Run], base: Sequence[Run], classify: Classify, alone: Sequence[Run] = ()
) -> Worth:
    """What the runs of a way came to, against the `base` runs of the same questions and repetitions, and `alone`."""
    worth = Worth(label)
    for run in runs:
        worth.answers += 1
        worth.tokens += run.tokens
        worth.passes += run.target_passes
        worth.verifications += run.verifications
        worth.verified += sum(int(step[1]) for step in run.extra.get("commit_trace", ()) if step[2])
        worth.draft_bytes += run.uplink_bytes["drafts"]
        worth.drafted += int(run.extra.get("draft_tokens_made", 0))
        _count(worth, run, classify(run.token_ids, run.question))
    spread = Spread.of(paired_ratios(runs, base, _total_ms))
    if spread is not None:
        worth.time_ratio, worth.time_quartiles = spread.median, (spread.low, spread.high)
    spread = Spread.of(paired_ratios(runs, alone, _total_ms))
    worth.alone_ratio = spread.median if spread is not None else None
    return worth


def _total_ms(run: Run) -> float:
    return run.total_ms


def _count(worth: Worth, run: Run, classes: Sequence[str]) -> None:
    for position, right in checked_positions(run):
        worth.checked += 1
        worth.right += right
        if len(classes) == len(run.token_ids):
            _add(worth.by_class, classes[position], right)
    for _, _, drafted, accepted in run.extra.get("commit_trace", ()):
        for place in range(min(accepted + 1, drafted)):
            _add(worth.by_place, str(place + 1), place < accepted)


def _add(table: Counts, key: str, right: bool) -> None:
    count = table.setdefault(key, [0, 0])
    count[0] += right
    count[1] += 1
