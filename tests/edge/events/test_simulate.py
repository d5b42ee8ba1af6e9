"""The simulator against a plain per-pixel loop, and its promises: order, refractory time, noise, seeds."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.events import EventSimulator, SimulatorSettings, concatenate, simulate_events
from edge.events.intensity import log_intensity

IDEAL = SimulatorSettings(threshold_mismatch=0, refractory_us=0, noise_hz=0)


Crossing = tuple[float, int, float]  # time in us, polarity, what float32 levels may shift the time by


def crossings(levels: list[float], times: list[int], rise: float, fall: float) -> tuple[list[Crossing], bool]:
    """One pixel's crossings, found one by one; False if rounding could decide about one of them."""
    found: list[Crossing] = []
    clear = True
    reference = levels[0]
    for before, after, start, end in zip(levels, levels[1:], times, times[1:], strict=False):
        while after >= reference + rise or after <= reference - fall:
            up = after > reference
            reference += rise if up else -fall
            per_level = (end - start) / (after - before)
            found.append((start + per_level * (reference - before), int(up), 1.01 + abs(per_level) * 1e-5))
        clear &= min(abs(reference + rise - after), abs(reference - fall - after), abs(reference - after)) > 1e-5
    return found, clear


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[int]]:
    count = draw(st.integers(2, 6))
    gaps = draw(st.lists(st.integers(1, 200_000), min_size=count - 1, max_size=count - 1))
    start = draw(st.integers(-(10**9), 10**12))
    seed = draw(st.integers(0, 2**32 - 1))
    frames = np.random.default_rng(seed).random((count, 3, 4), dtype=np.float32)
    return frames, [start, *(start + int(gap) for gap in np.cumsum(gaps))]


@settings(max_examples=150, deadline=None)
@given(scenes(), st.floats(0.05, 1.0), st.floats(0.05, 1.0))
def test_equals_a_plain_loop(scene: tuple[NDArray[np.float32], list[int]], rise: float, fall: float) -> None:
    frames, times = scene
    sensor = SimulatorSettings(rise, fall, threshold_mismatch=0, refractory_us=0, noise_hz=0)
    simulated = simulate_events(frames, times, settings=sensor)
    levels = log_intensity(frames, IDEAL.log_eps, colour=False).astype(float)
    pixel = simulated.y.astype(int) * 4 + simulated.x
    for own in range(12):
        expected, clear = crossings(list(levels.reshape(-1, 12)[:, own]), times, rise, fall)
        if clear:
            mine = pixel == own
            assert simulated.p[mine].tolist() == [p for _, p, _ in expected]
            for t, (exact, _, tolerance) in zip(simulated.t[mine], expected, strict=True):
                assert abs(int(t) - exact) <= tolerance


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(1, 50_000), st.integers(0, 99))
def test_sorted_in_time_and_never_within_the_refractory_time(
    scene: tuple[NDArray[np.float32], list[int]], refractory_us: int, seed: int
) -> None:
    frames, times = scene
    sensor = SimulatorSettings(0.1, 0.1, refractory_us=refractory_us, noise_hz=0)
    events = simulate_events(frames, times, settings=sensor, seed=seed)
    assert (np.diff(events.t) >= 0).all()
    assert len(events) == 0 or (events.t[0] >= times[0] and events.t[-1] <= times[-1])
    pixel = events.y.astype(int) * 4 + events.x
    for own in range(12):
        assert (np.diff(events.t[pixel == own]) >= refractory_us).all()


def test_refractory_time_keeps_the_first_of_every_burst() -> None:
    frames = np.exp(np.array([0.0, -1.05], dtype=np.float32)).reshape(2, 1, 1) - np.float32(1e-3)
    sensor = SimulatorSettings(0.1, 0.1, threshold_mismatch=0, refractory_us=250, noise_hz=0)
    events = simulate_events(frames, [0, 1050], settings=sensor)  # a crossing each 100 us
    assert [round(float(t), -1) for t in events.t] == [100, 400, 700, 1000]
    assert not events.p.any()


def test_a_step_fires_as_many_events_as_thresholds_crossed_at_interpolated_times() -> None:
    frames = np.full((2, 2, 2), 0.1, dtype=np.float32)
    frames[1, 0, 1] = 0.5
    events = simulate_events(frames, [1_000, 2_000], settings=IDEAL)
    size = math.log(0.501) - math.log(0.101)
    assert len(events) == int(size / 0.2) == 8
    assert set(zip(events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True)) == {(1, 0, 1)}
    expected = [1_000 + int(1_000 * 0.2 * k / size) for k in range(1, 9)]
    np.testing.assert_allclose(events.t, expected, atol=1)


def test_separate_thresholds_and_pixel_memory() -> None:
    """A rise below the threshold is remembered: two of them together fire."""
    level = np.array([0.0, 0.15, 0.25, 0.0], dtype=np.float32) - 1.0
    frames = (np.exp(level) - np.float32(1e-3)).reshape(4, 1, 1).astype(np.float32)
    sensor = SimulatorSettings(0.2, 0.4, threshold_mismatch=0, refractory_us=0, noise_hz=0)
    events = simulate_events(frames, [0, 100, 200, 300], settings=sensor)
    assert events.p.tolist() == [1]  # +0.2 reached in the second step; -0.2 from there is below 0.4
    assert 100 <= events.t[0] <= 200


def test_pushing_equals_running_and_equal_seeds_give_equal_events() -> None:
    frames = np.random.default_rng(0).random((6, 20, 30), dtype=np.float32)
    times = [0, 1_000, 70_000, 200_000, 200_001, 201_000]
    simulator = EventSimulator(30, 20, seed=7)
    pushed = concatenate([simulator.push(frame, t) for frame, t in zip(frames, times, strict=True)])
    ran = simulate_events(frames, times, seed=7)
    other = simulate_events(frames, times, seed=8)
    for name in ("x", "y", "t", "p"):
        np.testing.assert_array_equal(getattr(pushed, name), getattr(ran, name))
    assert len(other) != len(ran) or (other.t != ran.t).any()


def test_noise_has_its_rate_and_both_polarities() -> None:
    frames = np.full((11, 100, 100), 0.5, dtype=np.float32)
    sensor = SimulatorSettings(noise_hz=2.0)
    events = simulate_events(frames, np.arange(11) * 100_000, settings=sensor)  # 1 s, 20,000 expected
    assert abs(len(events) - 20_000) < 6 * math.sqrt(20_000)
    assert 0.45 < events.p.mean() < 0.55
    assert abs(float(events.x.mean()) - 49.5) < 2


def test_mismatch_spreads_the_moment_of_equal_pixels() -> None:
    frames = np.full((2, 50, 50), 0.1, dtype=np.float32)
    frames[1] = 0.13
    alike = simulate_events(frames, [0, 10_000], settings=IDEAL)
    spread = simulate_events(
        frames, [0, 10_000], settings=SimulatorSettings(threshold_mismatch=0.05, refractory_us=0, noise_hz=0)
    )
    assert len(alike) == 2_500
    assert len(np.unique(alike.t)) == 1
    assert len(np.unique(spread.t)) > 500


def test_a_still_picture_is_silent() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert len(simulate_events(np.stack([picture] * 5), np.arange(5) * 1_000, settings=IDEAL)) == 0


def test_eight_bit_mapping_is_documented_linlog() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 256)
    level = log_intensity(grey, 1e-3, colour=False)[0]
    np.testing.assert_allclose(level[21:], np.log(np.arange(21, 256)), rtol=1e-6)
    np.testing.assert_allclose(level[:21], np.arange(21) * np.log(20) / 20, rtol=1e-6, atol=1e-7)
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(log_intensity(rgb, 1e-3, colour=True)[0], level)


def test_a_grey_picture_three_pixels_wide_is_not_colour() -> None:
    frames = np.full((2, 5, 3), 0.2, dtype=np.float32)
    frames[1, 0, 2] = 0.9
    events = simulate_events(frames, [0, 10], settings=IDEAL)
    assert len(events) > 0
    assert (events.width, events.height) == (3, 5)
    assert set(events.x.tolist()) == {2}


@pytest.mark.parametrize(
    ("frames", "times", "message"),
    [
        (np.zeros((2, 4, 4), np.float32), [0, 0], "in order of time"),
        (np.zeros((2, 4, 4), np.float32), [0], "as many times"),
        (np.zeros((2, 4, 4), np.int32), [0, 1], "float or uint8"),
        (np.full((2, 4, 4), np.nan, np.float32), [0, 1], "finite"),
        (np.zeros((2, 4, 4, 4), np.float32), [0, 1], "last axis of 3"),
        (np.zeros((4, 4), np.float32), [0, 1, 2, 3], "must be"),
        (np.zeros((2, 0, 4), np.float32), [0, 1], "at least one pixel"),
    ],
)
def test_input_that_does_not_fit_is_named(frames: NDArray[Any], times: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_events(frames, times)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold_pos", 0.0),
        ("threshold_neg", math.nan),
        ("refractory_us", -1),
        ("noise_hz", -0.1),
        ("log_eps", 0.0),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        SimulatorSettings(**{name: value})  # type: ignore[arg-type]
