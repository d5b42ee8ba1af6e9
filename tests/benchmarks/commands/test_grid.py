from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands.grid import finished, grid, merged, parse_values, points
from benchmarks.link.profile import LinkProfile
from benchmarks.results import SCHEMA, Record
from common.errors import InputError, SettingsError
from tests.benchmarks.paradigms.made import made_run

BASE = LinkProfile("base", rtt_ms=1.0, uplink_mbps=1.0, downlink_mbps=1.0, loss_pct=0.5)
EXPECTED = {"command": "sweep", "plan": {"seed": 0}, "layout": {}, "models": {}, "backend": "tun"}


def record_of(profile: LinkProfile, **meta: Any) -> Record:
    facts = {"schema": SCHEMA, **EXPECTED, "link": profile.as_dict(), "lossless": True, "notes": ["n"], **meta}
    return Record(facts, [made_run(link=profile.as_dict())])


def test_values_are_repeated_or_separated_by_commas() -> None:
    assert parse_values("--rtt", ["50,5", "20", "5"], ()) == [5.0, 20.0, 50.0]
    assert parse_values("--rtt", None, (1.0, 2.0)) == [1.0, 2.0]


@pytest.mark.parametrize("text", ["", "fast", "-5", "0", "nan", "inf", "5,,6"])
def test_values_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--rtt"):
        parse_values("--rtt", [text], ())


def test_a_grid_has_every_pair_and_keeps_the_rest_of_the_link() -> None:
    profiles = grid(BASE, [5.0, 50.0], [2.0, 20.0], downlink=None)
    assert [(p.rtt_ms, p.uplink_mbps, p.downlink_mbps) for p in profiles] == [
        (5.0, 2.0, 2.0),
        (5.0, 20.0, 20.0),
        (50.0, 2.0, 2.0),
        (50.0, 20.0, 20.0),
    ]
    assert {p.loss_pct for p in profiles} == {0.5}
    assert {p.downlink_mbps for p in grid(BASE, [5.0], [2.0, 20.0], downlink=7.0)} == {7.0}
    assert len({point.file for point in points(profiles, Path())}) == 4


def test_a_finished_point_is_found_again_a_missing_one_is_not(tmp_path: Path) -> None:
    first, second = points(grid(BASE, [5.0, 50.0], [2.0], None), tmp_path)
    record_of(first.profile).write(first.file)
    again = finished(first, EXPECTED)
    assert again is not None and list(again.runs[0].token_ids) == [5, 6, 2]
    assert finished(second, EXPECTED) is None


@pytest.mark.parametrize("key", ["plan", "layout", "models", "backend"])
def test_a_point_measured_in_another_way_is_never_mixed_in(tmp_path: Path, key: str) -> None:
    (point,) = points(grid(BASE, [5.0], [2.0], None), tmp_path)
    record_of(point.profile, **{key: "other"}).write(point.file)
    with pytest.raises(InputError, match=f"another {key}"):
        finished(point, EXPECTED)


def test_a_point_on_another_link_is_never_mixed_in(tmp_path: Path) -> None:
    (point,) = points(grid(BASE, [5.0], [2.0], None), tmp_path)
    record_of(BASE).write(point.file)
    with pytest.raises(InputError, match="another link"):
        finished(point, EXPECTED)


def test_a_damaged_point_is_an_error_evidence_of_a_failed_check_is_no_point(tmp_path: Path) -> None:
    (point,) = points(grid(BASE, [5.0], [2.0], None), tmp_path)
    record_of(point.profile, lossless=False).write(point.file)
    assert finished(point, EXPECTED) is None
    point.file.write_text('{"meta": {')
    with pytest.raises(InputError):
        finished(point, EXPECTED)


def test_merging_keeps_all_runs_and_each_points_facts() -> None:
    profiles = grid(BASE, [5.0, 50.0], [2.0], None)
    whole = merged([record_of(profile) for profile in profiles])
    assert [run.link["rtt_ms"] for run in whole.runs] == [5.0, 50.0]
    assert [point["link"]["rtt_ms"] for point in whole.meta["points"]] == [5.0, 50.0]
    assert whole.meta["link"] == {} and whole.meta["notes"] == ["n"]
