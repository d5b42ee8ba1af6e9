"""`eventspec-bench simulate` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results import load_record
from benchmarks.simulation.acceptance import rate_of_runs, read_acceptance
from benchmarks.simulation.choices import client_counts, modes_of
from common.errors import InputError, SettingsError
from common.shipped import shipped_clips


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_record_and_a_table(tmp_path: Path) -> None:
    out = tmp_path / "fleet.json"
    flags = ["--replay", "7b-bf16", "--clients", "1,4", "--duration", "20", "--warm-up", "2", "--profile", "5g"]
    ended = _simulate(*flags, "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    assert "tokens-patient" in ended.stdout and "goodput" in ended.stdout
    assert "s of virtual time in" in ended.stderr
    record = load_record(out)
    assert record.meta["backend"] == "simulated" and record.meta["replayed"] == "7b-bf16"
    assert [(f["clients"], f["mode"]) for f in record.meta["fleets"]][:2] == [(1, ""), (4, "")]
    assert all(run.backend == "simulated" and run.link["name"] == "5g" for run in record.runs)
    rate = rate_of_runs([run for run in record.runs if run.drafted], "x")
    assert rate == pytest.approx(0.88, abs=0.08)  # the shipped pair's, which it was drawn from


def test_json_is_one_object_and_the_same_for_the_same_seed() -> None:
    flags = ["--replay", "7b-bf16", "--clients", "3", "--duration", "12", "--warm-up", "2", "--seed", "5", "--json"]
    first, again = (json.loads(_simulate(*flags).stdout) for _ in range(2))
    for record in (first, again):
        for name in ("created", "speed", "machine"):
            del record["meta"][name]
    assert first == again


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "--replay"),
        (["--replay", "7b-bf61"], "7b-bf16"),
        (["--replay", "7b-bf16", "--clients", "many"], "--clients"),
        (["--replay", "7b-bf16", "--acceptance", "1.5"], "0 to 1"),
        (["--replay", "7b-bf16", "--acceptance", "nothing.json"], "nothing.json"),
        (["--replay", "7b-bf16", "--paradigm", "in_process"], "isn't simulated"),
        (["--replay", "7b-bf16", "--warm-up", "60"], "--warm-up"),
        (["--validate", "nothing.json"], "nothing.json"),
    ],
)
def test_bad_input_is_one_clear_line(flags: list[str], says: str) -> None:
    ended = _simulate(*flags)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_acceptance_from_files(tmp_path: Path) -> None:
    figures = read_acceptance(str(shipped_clips().parent / "figures.json"))
    assert figures.at(0) > figures.at(2)
    assert 0.8 < figures.at(1000) < 0.95
    path = tmp_path / "list.json"
    path.write_text("[0.9, 0.5]")
    assert [read_acceptance(str(path)).at(n) for n in (0, 1, 7)] == [0.9, 0.5, 0.5]
    for text in ("[]", "{}", "[2]", '{"acceptance_by_position": {"1": 0.5}}', "{"):
        path.write_text(text)
        with pytest.raises(InputError):
            read_acceptance(str(path))


def test_names_and_counts() -> None:
    assert [mode.label for mode in modes_of(None, 0, 200, False)] == [
        "cloud_only",
        "stream_to_cloud/tokens-eager",
        "stream_to_cloud/tokens-patient",
    ]
    (auto,) = modes_of(["stream_to_cloud/tokens-auto"], 0, 200, False)
    assert auto.controller and auto.pace is None
    assert client_counts("1,20") == [1, 20]
    for text in ("0", "1,,2", "1000000"):
        with pytest.raises(SettingsError):
            client_counts(text)
