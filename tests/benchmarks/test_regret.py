"""Brute force against the controller at a few points; a controller that errs is found out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.regret import EQUAL_SPEEDS, Load, Point, grid, measure_point, reports_of, settings, times_named
from benchmarks.simulation.cases import ByPosition
from benchmarks.simulation.modes import EAGER, PATIENT, Mode
from common.errors import SettingsError
from edge import controller
from edge.draft_law import Plan

LOAD = Load(ByPosition((), 0.85), answers=16, warm_up=4, tokens=24)


def test_a_fast_drafter_is_used_and_a_slow_one_left_alone() -> None:
    fast = measure_point(Point("7b-small-drafter", 20, 20, ahead=True), LOAD)
    assert fast.reached
    assert fast.best.startswith("eager")
    assert fast.controller_ms < 0.7 * fast.alone_ms
    slow = measure_point(Point(EQUAL_SPEEDS, 20, 20, ahead=True), LOAD)
    assert slow.reached
    assert slow.off_share > 0.9


@pytest.mark.parametrize("mode", [EAGER, PATIENT], ids=lambda mode: mode.label)
def test_branches_save_time_where_the_drafter_idles(mode: Mode) -> None:
    point, totals, found = Point("7b-small-drafter", 50, 20, ahead=False), {}, {}
    for branches in (0, 3):
        reports = reports_of(point, replace(mode, draft_length=8, branches=branches), LOAD)
        totals[branches] = mean(report["total_ms"] for report in reports)
        found[branches] = [sum(report[name] for report in reports) for name in ("branch_hits", "branch_misses")]
    assert found[0] == [0, 0]
    hits, misses = found[3]
    assert 0.15 < hits / (hits + misses) < 0.7  # the simulated drafter has the truth among three words in 70 %
    assert totals[3] < 0.995 * totals[0]


def test_a_controller_that_errs_misses_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "best_plan", lambda c, ahead, patience: Plan(16, 16, 16, patience))
    assert not measure_point(Point("7b-small-drafter", 20, 20, ahead=True), LOAD).reached


def test_every_setting_is_tried() -> None:
    names = settings(LOAD)
    assert len(names) == 17
    assert {"off", "eager 1", "patient 16"} <= set(names)
    assert len(list(grid(["7b-bf16"], [5, 20], [2, 5, 20], [True, False]))) == 12


def test_profiles() -> None:
    equal = times_named(EQUAL_SPEEDS)
    assert equal.drafter.token_ms == equal.target.step.at(1)
    with pytest.raises(SettingsError, match="no replay profile"):
        times_named("nothing-like-it")


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "regret.json"
    arguments = ["regret", "--replay", "equal-speeds", "--rtt", "50", "--uplink", "20", "--ingest", "upload"]
    result = CliRunner().invoke(
        app, [*arguments, "--answers", "6", "--tokens", "8", "--branches", "3", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "equal-speeds" in result.output
    (point,) = json.loads(out.read_text(encoding="utf-8"))["points"]
    assert point["reached"] is True
    assert len(point["totals_ms"]) == 17
    assert point["branches_ms"] <= 1.01 * point["controller_ms"]
    assert point["branch_hits"] + point["branch_misses"] > 0


@pytest.mark.parametrize("wrong", [["--ingest", "never"], ["--rtt", "0"], ["--uplink", "fast"]])
def test_flags_that_make_no_sense(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["regret", *wrong])
    assert isinstance(result.exception, SettingsError)
