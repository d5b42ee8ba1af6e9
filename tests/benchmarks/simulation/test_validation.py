"""`--validate`: right figures pass, wrong ones don't, and what can't be compared is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import SCHEMA, Record, Run
from benchmarks.simulation.cases import EOS, ByPosition, Case
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.fleet import Arrivals, Deployment, Fleet, Questions
from benchmarks.simulation.modes import CLOUD_ONLY, PATIENT, Mode
from benchmarks.simulation.summary import runs_of
from benchmarks.simulation.traces import shipped_tokens_per_frame
from benchmarks.simulation.validation import compare, median_interval, validate_file
from common.errors import InputError
from common.replay import load_profile


def _record(*modes: Mode, **changes: Any) -> Record:
    """Runs as a replay without noise would give them: simulated, and said to be replayed."""
    times = load_profile("7b-bf16")
    cases = [Case(f"clip {n}", "What moves?", (*range(10, 20 + n), EOS), 5_000) for n in range(3)]
    on = Deployment(Costs(times), tokens_per_frame=shipped_tokens_per_frame())
    runs: list[Run] = []
    for mode in modes:
        fleet = Fleet(
            on, mode, Questions(cases, ByPosition((), 1.0), in_turn=True), 1, Arrivals(1.0, start_s=0, each=3)
        )
        fleet.run(1e4)
        runs += [
            replace(run, backend="loopback", repetition=0, extra={}, **changes) for run in runs_of(fleet, {}, 100)[0]
        ]
    meta = {"schema": SCHEMA, "command": "replay", "replayed": "7b-bf16", "backend": "loopback", "link": {}}
    return Record(meta, runs)


def test_what_it_simulates_it_finds_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "replay.json"
    _record(CLOUD_ONLY, PATIENT).write(path)
    assert validate_file(path) == 0
    assert "all within 10 %" in capsys.readouterr().out
    assert validate_file(path, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)["differences"]
    assert {one["label"] for one in told} == {"cloud_only", "stream_to_cloud/tokens-patient"}
    assert all(abs(one["off"]) < 0.02 for one in told)


def test_a_figure_that_is_off_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "replay.json"
    _record(CLOUD_ONLY, tpot_ms=35.0).write(path)
    assert validate_file(path) == 1
    assert "OFF" in capsys.readouterr().out


def test_runs_that_overran_are_left_out() -> None:
    record = _record(CLOUD_ONLY)
    slow = replace(record.runs[0], ttft_ms=99_999.0, extra={"replay_overruns": 3})
    (ttft, *_) = compare(Record(record.meta, [slow, *record.runs[1:]]), "x")
    assert (ttft.runs, ttft.overran) == (2, 1)
    assert ttft.within
    with pytest.raises(InputError, match="longer than its profile"):
        compare(Record(record.meta, [slow]), "x")


def test_runs_that_were_not_replayed_are_refused() -> None:
    record = _record(CLOUD_ONLY, replayed="")
    with pytest.raises(InputError, match="no replayed runs"):
        compare(record, "x")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        validate_file(tmp_path / "none.json")


def test_the_interval_of_a_median() -> None:
    assert median_interval([1.0] * 5) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)  # 1 - 2 / 64
    assert median_interval([float(n) for n in range(1, 21)]) == (6.0, 15.0)  # tables of order statistics
