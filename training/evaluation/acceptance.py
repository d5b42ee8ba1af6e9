"""How often the drafter's next token is the target's choice, re-conditioned on what is committed.

At every position of the target's own answer the drafter sees the committed tokens and drafts one more.
Because both sides are greedy, these flags determine speculative decoding with any draft length exactly: a
draft of several tokens is accepted up to its first miss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from training.data.batches import Pair
from training.evaluation.cases import Case
from training.evaluation.target import choices
from training.models import DrafterLearner
from training.objective import Prefix
from training.tokenizer import EOS
from training.world.phrases import word_class

Tally = dict[str, list[int]]


@dataclass(slots=True)
class Acceptance:
    """Counts of [accepted, drafted] tokens, and flags of each answer.

    `colour` counts colour words that neither the question nor the answer so far has named; the others are
    `colour, named before`.
    """

    by_class: Tally = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    by_position: Tally = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    flags: list[list[bool]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Accepted share of all one-token drafts."""
        total = sum(len(flags) for flags in self.flags)
        return sum(sum(flags) for flags in self.flags) / max(1, total)

    def mean_length(self, draft: int) -> float:
        """Committed tokens per verification (correction or bonus included) with drafts of `draft` tokens."""
        tokens = sum(len(flags) for flags in self.flags)
        return tokens / max(1, sum(_verifications(flags, draft) for flags in self.flags))

    def drafted_rate(self, draft: int) -> float:
        """Accepted / drafted with drafts of `draft` tokens: tokens behind a miss are drafted and lost."""
        accepted = sum(_accepted(flags, draft) for flags in self.flags)
        drafted = sum(_verifications(flags, draft) for flags in self.flags) * draft
        return accepted / max(1, drafted)

    def add(self, flags: list[bool], classes: list[str]) -> None:
        """Count one answer."""
        self.flags.append(flags)
        for position, (flag, kind) in enumerate(zip(flags, classes, strict=True)):
            for table, key in ((self.by_class, kind), (self.by_position, str(position))):
                table[key][0] += flag
                table[key][1] += 1


def measure(
    learner: DrafterLearner,
    prefix: Prefix,
    tokenizer: Tokenizer,
    cases: Sequence[Case],
    answers: Sequence[Sequence[Sequence[int]]],
) -> Acceptance:
    """The drafter's acceptance against the target's `answers` to the `cases`."""
    found = Acceptance()
    for case, given in zip(cases, answers, strict=True):
        pairs = [Pair(pair.prompt, answer) for pair, answer in zip(case.pairs, given, strict=True)]
        own = choices(learner, prefix, case.events, pairs)
        for pair, mine, question in zip(pairs, own, case.questions, strict=True):
            flags = [a == b for a, b in zip(pair.answer, mine, strict=True)]
            found.add(flags, token_classes(tokenizer, pair.answer, question.text))
    return found


def token_classes(tokenizer: Tokenizer, answer: Sequence[int], question: str) -> list[str]:
    """The class of each token of an answer: that of the word it belongs to; `end` for EOS."""
    pieces = ["" if token == EOS else tokenizer.id_to_token(token) or "" for token in answer]
    words: list[list[int]] = []
    for index, piece in enumerate(pieces):
        joins = words and piece[:1].isalpha() and pieces[words[-1][-1]].lstrip("▁").isalpha()
        if joins:
            words[-1].append(index)
        else:
            words.append([index])
    seen = set(question.lower().replace("?", " ").replace(".", " ").split())
    classes = [""] * len(pieces)
    for word in words:
        text = "".join(pieces[i] for i in word).lstrip("▁").lower()
        kind = "end" if answer[word[0]] == EOS else word_class(text)
        if kind == "colour" and text in seen:
            kind = "colour, named before"
        seen.add(text)
        for i in word:
            classes[i] = kind
    return classes


def _walk(flags: Sequence[bool], draft: int) -> list[int]:
    """Accepted tokens of each verification."""
    runs, at = [], 0
    while at < len(flags):
        run = 0
        while run < draft and at + run < len(flags) and flags[at + run]:
            run += 1
        runs.append(run)
        at += run + 1
    return runs


def _verifications(flags: Sequence[bool], draft: int) -> int:
    return len(_walk(flags, draft))


def _accepted(flags: Sequence[bool], draft: int) -> int:
    return sum(_walk(flags, draft))
