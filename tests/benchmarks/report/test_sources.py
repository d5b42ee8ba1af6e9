import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report.sources import read_sources
from common.errors import InputError
from tests.benchmarks.report.samples import record, run, span


def write(path: Path, **changes: Any) -> Path:
    """A file of one run, some of whose values are replaced."""
    values = record([run()]).as_dict()
    values["runs"][0].update(changes)
    path.write_text(json.dumps(values))
    return path


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "points"
    folder.mkdir()
    record([run(total_ms=1.0)], "sweep").write(folder / "a.json")
    record([run(total_ms=2.0)], "sweep").write(folder / "b.json")
    record([run(total_ms=3.0)]).write(tmp_path / "compare.json")
    sources = read_sources([tmp_path / "compare.json", folder])
    assert [(item.name, item.command) for item in sources.items] == [
        ("compare.json", "compare"),
        ("a.json", "sweep"),
        ("b.json", "sweep"),
    ]
    assert [one.total_ms for one in sources.runs] == [3.0, 1.0, 2.0]


def test_a_run_in_two_files_counts_once(tmp_path: Path) -> None:
    first, second = run(total_ms=1.0), run(total_ms=2.0)
    record([first]).write(tmp_path / "point.json")
    record([first, second]).write(tmp_path / "whole.json")
    sources = read_sources([tmp_path])
    assert [one.total_ms for one in sources.runs] == [1.0, 2.0]
    assert any("counted once" in note for note in sources.notes)


def test_other_json_in_a_folder_is_left_aside_and_said(tmp_path: Path) -> None:
    record([run()]).write(tmp_path / "results.json")
    (tmp_path / "settings.json").write_text('{"a": 1}')
    sources = read_sources([tmp_path])
    assert len(sources.items) == 1
    assert any("settings.json" in note for note in sources.notes)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": []}', '{"meta": {"schema": 1}, "runs": [1]}', "\x00"])
def test_a_file_that_is_no_result_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.json"):
        read_sources([path])


def test_another_schema_is_named(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    values = record([run()]).as_dict()
    values["meta"]["schema"] = 99
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="schema 99"):
        read_sources([path])


def test_a_truncated_file_in_a_folder_is_an_error(tmp_path: Path) -> None:
    record([run()]).write(tmp_path / "good.json")
    (tmp_path / "torn.json").write_text('{"meta": {"sch')
    with pytest.raises(InputError, match=r"torn\.json"):
        read_sources([tmp_path])


@pytest.mark.parametrize(
    "changes",
    [
        {"total_ms": "fast"},
        {"total_ms": float("nan")},
        {"total_ms": -1.0},
        {"total_ms": True},
        {"ttft_ms": "soon"},
        {"tokens": 1.5},
        {"token_ids": "abc"},
        {"token_ids": [1, None]},
        {"drafted_by_position": [-1]},
        {"uplink_bytes": {"video": "many"}},
        {"uplink_bytes": 7},
        {"link": [1]},
        {"stages": [{"name": "load"}]},
        {"stages": [{"name": "load", "side": "edge", "start_ms": 5, "end_ms": 4}]},
        {"stages": ["load"]},
        {"paradigm": 3},
        {"extra": None},
    ],
)
def test_values_that_make_no_sense_name_the_file_and_the_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write(tmp_path / "odd.json", **changes)
    with pytest.raises(InputError, match=r"odd\.json, run 0"):
        read_sources([path])


def test_what_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_sources([tmp_path / "nowhere.json"])
    with pytest.raises(InputError, match="no run"):
        read_sources([tmp_path])
    record([]).write(tmp_path / "empty.json")
    with pytest.raises(InputError, match="no run"):
        read_sources([tmp_path / "empty.json"])


def test_good_values_pass(tmp_path: Path) -> None:
    good = replace(run(), ttft_ms=None, stages=[span("load", "edge", 0, 0)])
    record([good]).write(tmp_path / "good.json")
    assert [one.total_ms for one in read_sources([tmp_path / "good.json"]).runs] == [good.total_ms]
