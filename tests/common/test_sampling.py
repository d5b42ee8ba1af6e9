"""The seeded choice has exactly the target's distribution, and depends on logits, seed and position alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from common.sampling import choose, filtered_log_probs, gumbel_noise
from common.types import SamplingParams

SEEDS = 4_000  # seeds are 0 ... SEEDS, so that every figure of this file is the same in every run
UNLIKELY = 1e-4  # p-value under which a distribution counts as different
LOGITS = np.array([2.0, 1.5, 1.5, 0.3, 0.0, -0.4, -1.0, 0.9, -2.0, 1.1], dtype=np.float32)
FILTERS = {
    "plain": SamplingParams(1.0),
    "hot": SamplingParams(2.5),
    "cold": SamplingParams(0.5),
    "top-k": SamplingParams(1.0, top_k=4),
    "top-k through a tie": SamplingParams(1.0, top_k=2),
    "top-p": SamplingParams(1.0, top_p=0.7),
    "all": SamplingParams(1.3, top_k=6, top_p=0.8),
}


def expected_probabilities(logits: NDArray[np.float32], params: SamplingParams) -> NDArray[np.float64]:
    """The filtered distribution by its definition, one id at a time."""
    scaled = logits.astype(np.float64) / params.temperature
    weights = np.exp(scaled - scaled.max())
    if params.top_k:
        weights[scaled < np.sort(scaled)[::-1][params.top_k - 1]] = 0
    weights /= weights.sum()
    if params.top_p < 1:
        mass = 0.0
        for index in np.argsort(-weights, kind="stable"):
            if mass >= params.top_p:
                weights[index] = 0
            else:
                mass += weights[index]
    result: NDArray[np.float64] = weights / weights.sum()
    return result


def seeded(params: SamplingParams, seed: int) -> SamplingParams:
    return SamplingParams(params.temperature, params.top_k, params.top_p, seed)


def choices(logits: NDArray[np.float32], params: SamplingParams, *, position: int = 3, first: int = 0) -> list[int]:
    """The choice at one position under each of many seeds."""
    row = torch.from_numpy(logits)[None]
    return [choose(row, seeded(params, seed), [position])[0] for seed in range(first, first + SEEDS)]


@pytest.mark.parametrize("name", FILTERS)
def test_has_exactly_the_filtered_distribution(name: str) -> None:
    params = FILTERS[name]
    expected = expected_probabilities(LOGITS, params)
    counts = np.bincount(choices(LOGITS, params), minlength=len(LOGITS))
    assert counts[expected == 0].sum() == 0, "an id that the filters drop was chosen"
    kept = expected > 0
    assert stats.chisquare(counts[kept], expected[kept] * SEEDS).pvalue > UNLIKELY


def test_the_test_can_tell_distributions_apart() -> None:
    counts = np.bincount(choices(LOGITS, SamplingParams(1.0)), minlength=len(LOGITS))
    other = expected_probabilities(LOGITS, SamplingParams(1.15))
    assert stats.chisquare(counts, other * SEEDS).pvalue < UNLIKELY


@pytest.mark.parametrize("name", FILTERS)
def test_log_probabilities_equal_the_definition(name: str) -> None:
    params = FILTERS[name]
    logits = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32) * 3
    ours = filtered_log_probs(torch.from_numpy(logits), params).exp().numpy()
    for row, probabilities in zip(logits, ours, strict=True):
        np.testing.assert_allclose(probabilities, expected_probabilities(row, params), atol=1e-12)


def independent(first: list[int], second: list[int]) -> bool:
    table = np.zeros((len(LOGITS), len(LOGITS)))
    np.add.at(table, (first, second), 1)
    table = table[:6, :6]  # the rest is too rare for a chi-square
    return bool(stats.chi2_contingency(table).pvalue > UNLIKELY)


def test_positions_are_independent_of_each_other() -> None:
    hot = SamplingParams(2.5)
    at = [choices(LOGITS, hot, position=position) for position in (0, 1, 2)]
    assert independent(at[0], at[1])
    assert independent(at[1], at[2])
    assert independent(at[0], at[2])
    assert not independent(at[0], at[0])


def test_seeds_are_independent_of_each_other() -> None:
    hot = SamplingParams(2.5)
    assert independent(choices(LOGITS, hot), choices(LOGITS, hot, first=1))
    assert independent(choices(LOGITS, hot, position=1), choices(LOGITS, hot, position=0, first=1))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**64 - 1), position=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_noise_is_a_function_of_seed_position_and_id(seed: int, position: int, count: int) -> None:
    noise = gumbel_noise(seed, position, count)
    assert np.isfinite(noise).all()
    np.testing.assert_array_equal(noise, gumbel_noise(seed, position, count))
    np.testing.assert_array_equal(noise, gumbel_noise(seed, position, count + 23)[:count])  # a padded table
    assert (noise != gumbel_noise(seed, position + 1, count)).all()
    assert (noise != gumbel_noise((seed + 1) % 2**64, position, count)).all()


def test_noise_is_standard_gumbel() -> None:
    assert stats.kstest(gumbel_noise(5, 9, 20_000), stats.gumbel_r.cdf).pvalue > UNLIKELY


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**64 - 1),
    temperature=st.sampled_from([0.0, 0.7, 1.0]),
    top_k=st.integers(0, 12),
    top_p=st.sampled_from([0.05, 0.6, 1.0]),
    padding=st.integers(0, 30),
    table=st.integers(0, 1000),
)
def test_rows_and_padding_change_nothing(
    seed: int, temperature: float, top_k: int, top_p: float, padding: int, table: int
) -> None:
    params = SamplingParams(temperature, top_k, top_p, seed)
    logits = torch.from_numpy(np.random.default_rng(table).normal(size=(4, 10)).astype(np.float32) * 2)
    positions = [7, 0, 8, 9]
    together = choose(logits, params, positions)
    assert together == [choose(logits[i : i + 1], params, [p])[0] for i, p in enumerate(positions)]
    padded = torch.cat([logits, torch.full((4, padding), -torch.inf)], dim=1)
    assert choose(padded, params, positions) == together
    assert max(together) < 10


def test_greedy_is_argmax() -> None:
    logits = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 17)).astype(np.float32))
    chosen = choose(logits, SamplingParams(0.0, top_k=3, top_p=0.1, seed=9), range(50))
    assert chosen == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(1.0, top_k=1),
        SamplingParams(1.0, top_p=1e-9),
        SamplingParams(1e-3),
        SamplingParams(1e-300),
        SamplingParams(5e-324),  # the smallest number above 0: nothing may overflow
    ],
)
def test_narrow_filters_come_down_to_greedy(params: SamplingParams) -> None:
    logits = torch.from_numpy(np.random.default_rng(3).normal(size=(30, 17)).astype(np.float32) * 9)
    logits[:, 12:] = -torch.inf
    assert choose(logits, params, range(30)) == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize("distance", [0.1, 0.4, 1.5])
def test_coupled_drafts_are_accepted_as_often_as_the_bound_says(distance: float) -> None:
    """Daliri, Musco, Suresh: both sides choosing with the same noise agree with at least (1 - TV) / (1 + TV)."""
    rng = np.random.default_rng(round(distance * 10))
    target = rng.normal(size=12).astype(np.float32) * 1.5
    drafter = (target + rng.normal(size=12) * distance).astype(np.float32)
    params = SamplingParams(1.0)
    p, q = expected_probabilities(target, params), expected_probabilities(drafter, params)
    tv = 0.5 * np.abs(p - q).sum()
    agreed = np.mean(np.asarray(choices(target, params)) == np.asarray(choices(drafter, params)))
    bound = (1 - tv) / (1 + tv)
    assert agreed >= bound - 3 * np.sqrt(bound * (1 - bound) / SEEDS)
    assert agreed <= 1 - tv + 3 * np.sqrt(tv * (1 - tv) / SEEDS)  # no coupling does better
    independently = float((p * q).sum())
    assert agreed > independently


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"top_p": float("nan")},
        {"seed": -1},
        {"seed": 2**64},
    ],
)
def test_parameters_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        SamplingParams(**values)  # type: ignore[arg-type]
