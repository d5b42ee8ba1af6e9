"""Acceptance by class of word: of the runs themselves where they tell what each pass checked, and of the training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report.acceptance import Share
from benchmarks.report.comparison import STREAM
from benchmarks.results import Run

Classify = Callable[[Sequence[int], str], Sequence[str]]
"""Token ids of an answer and its question to the class of each token; nothing for an answer it can't classify."""


@dataclass(frozen=True, slots=True)
class TrainingRates:
    """Acceptance by class of word as the training's evaluation measured it: not of the runs.

    Attributes:
        rates: share of one-token drafts that were the target's choice, by class.
        overall: over all classes.
        scenes: held-out scenes that it was measured on.
    """

    rates: Mapping[str, float]
    overall: float
    scenes: int


@dataclass(frozen=True, slots=True)
class WordClasses:
    """Shares by class, most accepted first; `runs` of the stream-to-cloud runs told what their passes checked."""

    shares: tuple[Share, ...]
    runs: int
    training: TrainingRates | None


def checked_positions(run: Run) -> list[tuple[int, bool]]:
    """Answer positions whose draft was checked on a right prefix, and whether it was the target's choice.

    From `commit_trace`: `[ms, fresh tokens, drafted, accepted]` of each pass. Of a pass the accepted positions count,
    and the first miss, whose right token the pass itself chose; what was drafted behind a miss says nothing. Empty
    where the trace is missing or doesn't add up to the answer.
    """
    trace = run.extra.get("commit_trace")
    if not isinstance(trace, Sequence) or not all(_is_step(step) for step in trace):
        return []
    if sum(step[1] for step in trace) != len(run.token_ids):
        return []
    found: list[tuple[int, bool]] = []
    position = 0
    for _, fresh, drafted, accepted in trace:
        if accepted <= fresh:
            found += [(position + place, True) for place in range(accepted)]
        if accepted < drafted and fresh == accepted + 1:
            found.append((position + accepted, False))
        position += fresh
    return found


def _is_step(step: object) -> bool:
    if not isinstance(step, Sequence) or len(step) != 4:
        return False
    return all(isinstance(count, int) and count >= 0 for count in step[1:])


def word_classes(runs: Iterable[Run], classify: Classify, training: TrainingRates | None) -> WordClasses:
    """Count the checked positions of all stream-to-cloud runs by class, each position of an answer once.

    A drafter that is right at a position after a right prefix is so in every repetition and over every link: to count
    them all would feign a precision that isn't there.
    """
    counts: dict[str, list[int]] = {}
    seen: set[tuple[str, str, int, float, int]] = set()
    told = 0
    for run in runs:
        checked = checked_positions(run) if run.paradigm == STREAM else []
        classes = classify(run.token_ids, run.question) if checked else ()
        if len(classes) != len(run.token_ids) or not checked:
            continue
        told += 1
        for position, right in checked:
            place = (run.clip, run.question, run.seed, run.temperature, position)
            if place in seen:
                continue
            seen.add(place)
            count = counts.setdefault(classes[position], [0, 0])
            count[0] += right
            count[1] += 1
    shares = [Share(name, accepted, drafted) for name, (accepted, drafted) in counts.items()]
    return WordClasses(tuple(sorted(shares, key=lambda share: -share.rate)), told, training)


def training_rates() -> TrainingRates | None:
    """Of the shipped tiny pair, from `common/tiny/figures.json`; None where that has none."""
    from common.shipped import shipped_target

    try:
        values = json.loads((shipped_target().parent / "figures.json").read_text(encoding="utf-8"))
        rates = {str(name): float(rate) for name, rate in values["acceptance_by_class"].items()}
        return TrainingRates(rates, float(values["acceptance"]), int(values["held_out_scenes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def shipped_classifier(runs: Sequence[Run]) -> Classify:
    """Classes of the synthetic world's words, by the shipped tokenizer.

    It classifies nothing where an answer's ids don't decode to the answer's text: then another tokenizer made them.
    """
    if not any(checked_positions(run) for run in runs):
        return lambda ids, question: ()
    import tokenizers

    from common.shipped import shipped_target
    from common.tokenizer import Tokenizer
    from training.evaluation.acceptance import token_classes

    own = Tokenizer.from_folder(shipped_target())
    raw = tokenizers.Tokenizer.from_file(str(shipped_target().parent / "tokenizer.json"))
    fitting = {tuple(run.token_ids) for run in runs if own.decode(run.token_ids).strip() == run.answer.strip()}

    def classify(ids: Sequence[int], question: str) -> Sequence[str]:
        return token_classes(raw, ids, question) if tuple(ids) in fitting else ()

    return classify
