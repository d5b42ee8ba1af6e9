"""What a single-token forward costs each model, measured in one run through the code that serves them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from common.packed import KVStorage, PackedPlan, Segment, packed_forward, use_packed_attention
from training.alignment.speedup import Times
from training.models import DrafterLearner, Learner, TargetLearner


@dataclass(frozen=True, slots=True)
class Costs:
    """Median milliseconds of one single-token forward (logits included)."""

    target_ms: float
    drafter_ms: float

    @property
    def ratio(self) -> float:
        """How many drafter forwards one target forward costs."""
        return self.target_ms / self.drafter_ms


def measure_costs(target: Learner, drafter: Learner, rounds: int = 200) -> Costs:
    """Time both models in turns (a busy machine is busy for both), each behind a prefix of its own length."""
    models = (_Stepper(target, 150), _Stepper(drafter, 40))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for model, found in zip(models, times, strict=True):
            began = time.perf_counter()
            model.step()
            found.append(time.perf_counter() - began)
    target_s, drafter_s = (sorted(found)[len(found) // 2] for found in times)
    return Costs(target_s * 1e3, drafter_s * 1e3)


class _Stepper:
    """One model that computes its next token again and again."""

    def __init__(self, learner: Learner, prefix: int) -> None:
        self.language, self.head, self.prefix = learner.language, learner.lm_head, prefix
        use_packed_attention(self.language)
        self.storage = KVStorage.for_model(self.language, slots=1, capacity=prefix + 32)
        self._forward(torch.zeros(prefix, dtype=torch.long), 0)
        self.step()

    def step(self, tokens: int = 1) -> Tensor:
        return self._forward(torch.zeros(tokens, dtype=torch.long), self.prefix)

    def fill(self) -> Tensor:
        return self._forward(torch.zeros(self.prefix, dtype=torch.long), 0)

    @torch.no_grad()
    def _forward(self, ids: Tensor, start: int) -> Tensor:
        plan = PackedPlan([Segment(slot=0, start=start, count=len(ids))], self.storage)
        hidden = packed_forward(self.language, self.language.embed_tokens(ids), plan)
        logits: Tensor = self.head(hidden[-1:])
        return logits


def pass_cost(learner: Learner, tokens: int, prefix: int = 150, rounds: int = 60) -> float:
    """Median milliseconds of processor time of a pass over `tokens` tokens behind `prefix`, and its last logits."""
    stepper, found = _Stepper(learner, prefix), []
    for _ in range(rounds):
        began = time.thread_time()
        stepper.step(tokens)
        found.append(time.thread_time() - began)
    return sorted(found)[rounds // 2] * 1e3


def measure_times(target: TargetLearner, drafter: DrafterLearner, draft: int, rounds: int = 30) -> Times:
    """Milliseconds of both models' stages, medians of turns: prefill with vision, a token, a verification."""
    costs = measure_costs(target, drafter, rounds)
    checked, plain = _Stepper(target, 150), (_Prefill(target, 8, 150), _Prefill(drafter, 5, 40))
    calls: tuple[Callable[[], object], ...] = (plain[0].run, plain[1].run, lambda: checked.step(draft + 1))
    found: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        for call, times in zip(calls, found, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    prefill, drafters, verify = (sorted(times)[rounds // 2] * 1e3 for times in found)
    return Times(prefill, drafters, costs.target_ms, costs.drafter_ms, verify)


def measure_lengths(
    target: TargetLearner, drafter: DrafterLearner, drafts: Sequence[int], rounds: int = 30
) -> dict[int, Times]:
    """As `measure_times`, by the length of drafts (at most 31); the passes over them are timed in turns."""
    times, checked = measure_times(target, drafter, drafts[0], rounds), _Stepper(target, 150)
    found: dict[int, list[float]] = {draft: [] for draft in drafts}
    for _ in range(rounds):
        for draft, spent in found.items():
            began = time.perf_counter()
            checked.step(draft + 1)
            spent.append(time.perf_counter() - began)
    return {draft: replace(times, verify=sorted(spent)[rounds // 2] * 1e3) for draft, spent in found.items()}


class _Prefill:
    """Vision and prompt of one model, up to its first token."""

    def __init__(self, learner: Learner, frames: int, length: int) -> None:
        self.learner, self.frames, self.stepper = learner, frames, _Stepper(learner, length)

    @torch.no_grad()
    def run(self) -> Tensor:
        self.learner.features(torch.zeros(1, self.frames, 3, 56, 56))
        return self.stepper.fill()
