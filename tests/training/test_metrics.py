"""Vectorised metrics are what their definitions say, and at least 50 times as fast as loops over samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from common.replay import load_profile
from training.alignment import metrics
from training.alignment.decisions import decide, decide_by
from training.alignment.metrics import Flags
from training.alignment.speedup import Times, estimate, prefill_share
from training.evaluation.acceptance import Acceptance


def arrays(count: int, longest: int, seed: int) -> tuple[np.ndarray, np.ndarray, Flags]:
    rng = np.random.default_rng(seed)
    cosine = 1 - 0.3 * rng.random((count, longest)) ** 2
    ranks = rng.geometric(0.6, (count, longest)) - 1
    lengths = rng.integers(1, longest + 1, count)
    return cosine, ranks, np.arange(longest) < lengths[:, None]


def looped(cosine: np.ndarray, ranks: np.ndarray, mask: Flags) -> dict[str, float]:
    """The definitions, sample by sample, as the research's scripts computed them."""
    lengths = mask.sum(1)
    found: dict[str, float] = {}
    total = int(lengths.sum())
    for tau in metrics.TAUS:
        accepted, ran, matched = 0, 0, 0
        for row, rank, length in zip(cosine, ranks, lengths, strict=True):
            above = row[:length] > tau
            accepted += int(above.sum())
            ran += int(np.cumprod(above).sum())
            matched += int((above & (rank[:length] == 0)).sum())
        found |= {f"accept {tau}": accepted / total, f"consecutive {tau}": ran / len(cosine)}
        found[f"given {tau}"] = matched / max(1, accepted)
    for top in metrics.TOPS:
        hits, ran = 0, 0
        for rank, length in zip(ranks, lengths, strict=True):
            hit = rank[:length] < top
            hits += int(hit.sum())
            ran += int(np.cumprod(hit).sum())
        found |= {f"top {top}": hits / total, f"top consecutive {top}": ran / len(cosine)}
    longest = cosine.shape[1]
    columns: list[list[float]] = [[] for _ in range(longest)]
    for row, length in zip(cosine, lengths, strict=True):
        for at in range(length):
            columns[at].append(row[at])
    found |= {f"mean {at}": float(np.mean(column)) for at, column in enumerate(columns) if column}
    found |= {f"std {at}": float(np.std(column)) for at, column in enumerate(columns) if column}
    flags = Acceptance()
    for rank, length in zip(ranks, lengths, strict=True):
        flags.flags.append([bool(value) for value in rank[:length] == 0])
    return found | {f"length {draft}": flags.mean_length(draft) for draft in (3, 5, 8)}


def vectorised(cosine: np.ndarray, ranks: np.ndarray, mask: Flags) -> dict[str, float]:
    match = ranks == 0
    found: dict[str, float] = {}
    for tau, row in metrics.cosine_figures(cosine, match, mask).items():
        key = float(tau)
        found |= {f"accept {key}": row["accept"], f"consecutive {key}": row["consecutive"]}
        found[f"given {key}"] = 0.0 if math.isnan(row["match_given"]) else row["match_given"]
    for top, (hit, ran) in metrics.tops(ranks, mask).items():
        found |= {f"top {top}": hit, f"top consecutive {top}": ran}
    stats = metrics.per_position(cosine, mask)
    for at in range(cosine.shape[1]):
        if stats.count[at]:
            found |= {f"mean {at}": float(stats.mean[at]), f"std {at}": float(stats.std[at])}
    return found | {f"length {draft}": metrics.mean_length(match, mask, draft) for draft in (3, 5, 8)}


@cases(st.integers(1, 12), st.integers(1, 9), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_they_are_their_definitions(count: int, longest: int, seed: int) -> None:
    sample = arrays(count, longest, seed)
    ours, theirs = vectorised(*sample), looped(*sample)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=1e-9), key


def seconds(call: Callable[[], object], times: int) -> float:
    """The least processor time of a call: other work on the machine doesn't count."""
    best = math.inf
    for _ in range(times):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best


def test_no_loop_over_samples_is_needed() -> None:
    sample = arrays(11_000, 50, 0)
    fast, slow = seconds(lambda: vectorised(*sample), 7), seconds(lambda: looped(*sample), 1)
    print(f"11,000 x 50: {fast * 1e3:.1f} ms, looped {slow * 1e3:.0f} ms, {slow / fast:.0f} times")
    assert slow > 50 * fast


def test_hidden_tokens_and_phases() -> None:
    assert metrics.hidden_tokens(315.0, 83.0, 10.0) == 23
    assert metrics.hidden_tokens(50.0, 83.0, 10.0) == 0
    flags, mask = np.array([[True, True, False], [False, True, True]]), np.ones((2, 3), bool)
    assert metrics.phases(flags, mask, 1) == (0.5, 0.75)


def test_one_pass_is_charged_for_a_verification() -> None:
    mask = np.ones((1, 10), bool)
    times = Times(target_prefill=100, drafter_prefill=10, target_token=10, drafter_token=0.0001, verify=10)
    sure = estimate(np.ones((1, 10), bool), mask, times, draft=4)
    assert sure.decode == pytest.approx(5, rel=1e-3)
    assert sure.prefill == pytest.approx((100 + 100) / 110)
    never = estimate(np.zeros((1, 10), bool), mask, times, draft=4)
    assert never.decode == pytest.approx(1, rel=1e-3)
    assert prefill_share(315, 14, 5) == pytest.approx(0.849, abs=1e-3)


def test_decisions_follow_the_stages() -> None:
    rng = np.random.default_rng(0)
    mask = np.ones((50, 20), bool)
    flags = rng.random((50, 20)) < 0.9
    alike, small = (decide(load_profile(name), flags, mask) for name in ("7b-4bit-24gb", "7b-small-drafter"))
    assert small.end_to_end > alike.end_to_end
    assert alike.target_share[0] == pytest.approx(0.849, abs=1e-3)
    assert alike.hidden == 22
    never = decide(load_profile("7b-4bit-24gb"), np.zeros((50, 20), bool), mask)
    assert never.verdict == "don't draft"


def test_decisions_need_no_profile() -> None:
    """Passes that grow with their rows make short drafts the better ones."""
    mask = np.ones((50, 20), bool)
    flags = np.random.default_rng(0).random((50, 20)) < 0.9
    flat = decide_by("", lambda draft: Times(20, 10, 10, 1, 10), flags, mask)
    steep = decide_by("", lambda draft: Times(20, 10, 10, 1, 10 + 5 * draft), flags, mask)
    assert steep.draft < flat.draft
    assert flat.passes < steep.passes
    assert flat.target_share == steep.target_share == tuple(20 / (20 + 10 * (n - 1)) for n in (5, 20, 45))
