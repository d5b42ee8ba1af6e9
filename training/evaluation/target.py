"""The target on held-out cases: its own greedy answers, and how many of them are right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from training.data.batches import Pair, pack_pairs
from training.evaluation.cases import Case
from training.models import Learner, TargetLearner
from training.objective import Prefix, answer_logits
from training.tokenizer import EOS, VOCABULARY

MAX_ANSWER = 80


@torch.no_grad()
def choices(learner: Learner, prefix: Prefix, pixels: torch.Tensor, pairs: Sequence[Pair]) -> list[list[int]]:
    """The model's own choice at every position of each answer, given the answer's tokens before it.

    Args:
        learner: target or drafter.
        prefix: of its prompt.
        pixels: [T, 3, S, S] of one scene.
        pairs: questions and answers about it.
    """
    room = sum(len(pair.prompt) + len(pair.answer) for pair in pairs)
    text = pack_pairs([pairs], room)
    logits, _ = answer_logits(learner, prefix, pixels[None], text)
    best = logits[:, :VOCABULARY].argmax(-1).tolist()
    found, at = [], 0
    for pair in pairs:
        found.append(best[at : at + len(pair.answer)])
        at += len(pair.answer)
    return found


def greedy_answers(learner: TargetLearner, prefix: Prefix, case: Case) -> list[list[int]]:
    """The target's greedy answers (EOS included) to the case's questions.

    An answer all of whose tokens are the model's own choices is its greedy answer; only the others are
    generated.
    """
    own = choices(learner, prefix, case.video, case.pairs)
    return [
        list(pair.answer) if list(pair.answer) == chosen else _generate(learner, prefix, case, pair.prompt)
        for pair, chosen in zip(case.pairs, own, strict=True)
    ]


@torch.no_grad()
def _generate(learner: TargetLearner, prefix: Prefix, case: Case, prompt: Sequence[int]) -> list[int]:
    """Greedy decoding through transformers' own `generate`."""
    video = [VOCABULARY + 1] * (len(case.video) * 17)
    ids = torch.tensor([[*prefix.before, *video, *prefix.after, *prompt]])
    out = learner.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values_videos=case.video[None],
        max_new_tokens=MAX_ANSWER,
        do_sample=False,
        eos_token_id=EOS,
        suppress_tokens=list(range(VOCABULARY, learner.lm_head.out_features)),
    )
    answer: list[int] = out[0, ids.shape[1] :].tolist()
    return answer


def accuracy(cases: Sequence[Case], answers: Sequence[Sequence[Sequence[int]]]) -> dict[str, tuple[int, int]]:
    """Right answers and questions by kind; an answer is right if it is the expected one to the last token."""
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for case, given in zip(cases, answers, strict=True):
        for question, pair, answer in zip(case.questions, case.pairs, given, strict=True):
            table[question.kind][0] += list(answer) == list(pair.answer)
            table[question.kind][1] += 1
    return {kind: (right, asked) for kind, (right, asked) in sorted(table.items())}
