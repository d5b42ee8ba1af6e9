"""The commands as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks.commands import sweep as sweep_command
from benchmarks.commands.compare import check
from benchmarks.results import SCHEMA, Record, load_record
from common.errors import EventSpecError, LinkError
from tests.benchmarks.paradigms.made import made_run

BENCH = [sys.executable, "-m", "benchmarks"]
KEYS = {
    *("paradigm", "mode", "link", "backend", "clip", "question", "seed", "token_ids", "tokens", "replayed", "stages"),
    *("ttft_ms", "tpot_ms", "total_ms", "drafted", "accepted", "accepted_by_position", "verifications"),
    *("target_passes", "uplink_bytes", "downlink_bytes"),
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BENCH, *arguments], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("command", ["compare", "sweep", "stages", "capacity", "replay", "latency", "hostile", "held"])
def test_help_answers_without_torch(command: str) -> None:
    code = (
        "import sys; sys.argv = ['eventspec-bench', sys.argv[1], '--help']\n"
        "from benchmarks.__main__ import main\n"
        "heavy = {'torch', 'numpy', 'grpc', 'matplotlib'}\n"
        "try: main()\nexcept SystemExit as end: print(end.code, heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("0 set()\n"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "--paradigm", "nonsense"], "no paradigm"),
        (["compare", "--paradigm", "stream_to_cloud/hidden-eager", "--drafter", "mine"], "--adapter"),
        (["compare", "--rtt", "-5", "--uplink", "5"], "rtt_ms"),
        (["compare", "--profile", "nonsense"], "nonsense"),
        (["compare", "--backend", "proxy"], "needs a link"),
        (["compare", "--model", "/nonexistent", "--paradigm", "cloud_only"], "/nonexistent"),
        (["compare", "--clips", "/nonexistent"], "/nonexistent"),
        (["compare", "--edge", "127.0.0.1:9", "--paradigm", "colocated"], "no paradigm is left"),
        (["replay", "nonsense", "--paradigm", "cloud_only"], "nonsense"),
        (["sweep", "--rtt", "fast"], "--rtt"),
        (["sweep", "--out", "/dev/null/x"], "/dev/null/x"),
        (["capacity", "--clients", "1.5"], "whole numbers"),
        (["capacity", "--paradigm", "in_process"], "in_process"),
    ],
)
def test_bad_input_ends_in_one_message(arguments: list[str], words: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_compare_prints_the_documented_schema(tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    options = ["--questions", "1", "--repetitions", "2", "--warm-up", "1", "--max-tokens", "8", "--backend", "loopback"]
    done = bench(
        "compare", "--paradigm", "cloud_only", "--paradigm", "stream_to_cloud", *options, "--json", "--out", str(out)
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert set(values) == {"meta", "runs"} and values == json.loads(out.read_text())
    counted = Counter((run["paradigm"], run["mode"]) for run in values["runs"])
    for paradigm, mode in (
        ("cloud_only", ""),
        ("stream_to_cloud", "tokens-eager"),
        ("stream_to_cloud", "tokens-patient"),
    ):
        assert counted[paradigm, mode] == 2, counted
    assert all(set(run) >= KEYS for run in values["runs"])
    meta = values["meta"]
    assert meta["schema"] == SCHEMA and meta["command"] == "compare" and meta["backend"] == "loopback"
    assert len(meta["models"]["target"]["fingerprint"]) == 64 and meta["machine"]["cores"] >= 1
    assert meta["choices"]["by_thresholds"]["paradigm"] == "stream_to_cloud"
    assert meta["choices"]["by_measurement"]["paradigm"]
    load_record(out)


@pytest.mark.slow
def test_an_interrupted_compare_leaves_no_process(tmp_path: Path) -> None:
    options = ["--backend", "loopback", "--paradigm", "cloud_only", "--repetitions", "1000"]
    process = subprocess.Popen(
        [*BENCH, "compare", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        mine = _wait_for_daemons(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    finally:
        process.kill()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in mine if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def _wait_for_daemons(parent: int) -> list[int]:
    """Process ids of the cloud's and the edge's daemons, once both are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [pid for pid in _children(parent) if b"serve" in _command(pid)]
        if len(found) >= 2:
            return [*found, *(grandchild for pid in found for grandchild in _children(pid))]
        time.sleep(0.2)
    raise AssertionError("no daemons")


def _children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in text.split()]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_different_answers_end_with_status_1_and_leave_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record({"schema": SCHEMA, "lossless": True}, [made_run(), made_run("colocated", token_ids=[9])])
    with pytest.raises(typer.Exit) as ended:
        check(record, tmp_path / "e.json")
    assert ended.value.exit_code == 1
    assert "[9]" in capsys.readouterr().err
    assert load_record(tmp_path / "e.json").meta["lossless"] is False


class FakeSweep:
    """Stands in for the measuring of points; fails at the point that `fails` names."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.measured: list[str] = []

    def __call__(self, point: Any, experiment: Any, backend: str) -> Record:
        from benchmarks.commands.experiment import layout_facts, models_of, plan_facts

        if point.profile.name == self.fails:
            raise LinkError("the cloud daemon died")
        self.measured.append(point.profile.name)
        meta = {
            "schema": SCHEMA,
            "command": "sweep",
            "plan": plan_facts(experiment.plan),
            "layout": layout_facts(experiment.layout),
            "models": models_of(experiment.layout),
            "backend": backend,
            "link": point.profile.as_dict(),
            "lossless": True,
            "notes": [],
        }
        record = Record(meta, [made_run(link=point.profile.as_dict())])
        record.write(point.file)
        return record


def sweep(folder: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeSweep, rtts: str = "5,50") -> None:
    monkeypatch.setattr(sweep_command, "_measure", fake)
    sweep_command.sweep(rtt=[rtts], uplink=["2,20"], backend="proxy", out=folder, as_json=True)  # type: ignore[arg-type]


def test_a_sweep_that_a_dead_daemon_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = FakeSweep(fails="50ms-2M")
    with pytest.raises(EventSpecError, match=r"2 of 4 points .* goes on") as caught:
        sweep(tmp_path, monkeypatch, first)
    assert "the cloud daemon died" in str(caught.value)
    assert first.measured == ["5ms-2M", "5ms-20M"]
    second = FakeSweep()
    sweep(tmp_path, monkeypatch, second)
    assert second.measured == ["50ms-2M", "50ms-20M"]
    whole = load_record(tmp_path / "sweep.json")
    assert len(whole.runs) == 4 and json.loads(capsys.readouterr().out)["meta"]["command"] == "sweep"
    third = FakeSweep()
    sweep(tmp_path, monkeypatch, third)
    assert third.measured == []


def test_an_edge_elsewhere_is_asked_and_said_to_be(tmp_path: Path) -> None:
    done = bench("compare", "--edge", "127.0.0.1:9", "--paradigm", "cloud_only", "--questions", "1")
    assert done.returncode == 2 and "127.0.0.1:9" in done.stderr


os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
