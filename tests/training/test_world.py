"""The world is a function of its seed, and the gap between the two senses is honest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.events import simulate_events
from training.data.shards import SIMULATOR, scene_events
from training.world.render import HUES, event_times, frame_times, render_intensity, render_rgb
from training.world.scenes import COLOURS, DURATION, SENSOR, SHAPES, Scene, Thing, sample_scene

STILL = Thing("red", "circle", "large", None, None, 0.27, 40.0, 40.0, 0.0, 0.0)


def only(thing: Thing) -> Scene:
    return Scene(1, (thing,), 0.07, (0.01, -0.01))


def test_equal_seeds_give_equal_scenes_pictures_and_events() -> None:
    for seed in (0, 3, 10_000_001):
        first, second = sample_scene(seed), sample_scene(seed)
        assert first == second
        assert (render_rgb(first, frame_times()) == render_rgb(second, frame_times())).all()
        events, again = scene_events(first), scene_events(second)
        assert all((getattr(events, name) == getattr(again, name)).all() for name in "xytp")
    assert sample_scene(0) != sample_scene(1)


def test_things_stay_inside_never_touch_and_are_ordered() -> None:
    for seed in range(300):
        things = sample_scene(seed).things
        assert 1 <= len(things) <= 3
        assert [thing.x for thing in things] == sorted(thing.x for thing in things)
        for time in np.linspace(0.0, DURATION, 9):
            seen = [thing for thing in things if thing.visible(float(time))]
            for index, thing in enumerate(seen):
                x, y = thing.at(float(time))
                assert min(x, y) >= thing.radius
                assert max(x, y) <= SENSOR - thing.radius
                for other in seen[index + 1 :]:
                    assert math.dist((x, y), other.at(float(time))) > thing.radius + other.radius


def test_every_hue_has_the_same_mean() -> None:
    assert {name: sum(hue) / 3 for name, hue in HUES.items()} == dict.fromkeys(COLOURS, 1.0)


def test_intensity_is_the_same_whatever_the_hue() -> None:
    for seed in range(20):
        scene = sample_scene(seed)
        shown = render_intensity(scene, event_times()[::20])
        for colour in COLOURS:
            painted = replace(scene, things=tuple(replace(thing, colour=colour) for thing in scene.things))
            assert (render_intensity(painted, event_times()[::20]) == shown).all()
            grey = render_rgb(painted, event_times()[::20]).mean(axis=-1) / 255
            assert np.abs(grey - shown).max() < 1 / 255  # the camera's rounding


def test_intensity_and_shape_are_drawn_independently_of_the_hue() -> None:
    things = [thing for seed in range(1500) for thing in sample_scene(seed).things]
    overall = np.array([thing.intensity for thing in things])
    for colour in COLOURS:
        chosen = [thing for thing in things if thing.colour == colour]
        intensity = np.array([thing.intensity for thing in chosen])
        assert abs(intensity.mean() - overall.mean()) < 4 * overall.std() / math.sqrt(len(chosen))
        for shape in SHAPES:
            share = np.mean([thing.shape == shape for thing in chosen])
            expected = np.mean([thing.shape == shape for thing in things])
            assert abs(share - expected) < 4 * math.sqrt(0.25 / len(chosen))


def test_a_thing_at_rest_fires_nothing() -> None:
    times = (event_times() * 1e6).astype(np.int64)
    silent = replace(SIMULATOR, noise_hz=0.0)
    assert len(simulate_events(render_intensity(only(STILL), event_times()), times, settings=silent)) == 0


def test_noise_says_nothing_about_a_thing_at_rest() -> None:
    here = scene_events(only(STILL))
    elsewhere = scene_events(only(replace(STILL, x=15.0, shape="cross", intensity=0.3)))
    assert len(here) > 100
    assert all((getattr(here, name) == getattr(elsewhere, name)).all() for name in "xytp")


@pytest.mark.parametrize("change", [{"vx": 8.0, "motion": "right", "speed": "slowly"}, {"appears": 0.5}])
def test_what_moves_or_appears_fires(change: dict[str, object]) -> None:
    changed = replace(STILL, **change)  # type: ignore[arg-type]
    assert len(scene_events(only(changed))) > len(scene_events(only(STILL))) + 300
