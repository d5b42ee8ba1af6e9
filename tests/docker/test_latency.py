"""The end-to-end latency test: an edge and a cloud in containers, and a real link between them, in three profiles."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import median

import pytest

from benchmarks.link.presets import preset
from benchmarks.results import Record, load_record
from tests.docker.conftest import PROFILES
from tests.docker.expectations import wrong_answers, wrong_growth, wrong_round_trip, wrong_times
from tests.docker.stack import ROOT, Stack

pytestmark = [pytest.mark.timeout(2400), pytest.mark.slow]

CLOUD = ("cloud", "50051")
COMPARE = ("compare", "--edge", "127.0.0.1:50052", "--questions", "3", "--repetitions", "2", "--warm-up", "1")
PARADIGMS = ("--paradigm", "cloud_only", "--paradigm", "stream_to_cloud")


@dataclass(frozen=True)
class Measured:
    """What one link gave."""

    profile: str
    round_trips_ms: Sequence[float]
    record: Record


@pytest.fixture(scope="module")
def links(stack: Stack, artifacts: Path) -> dict[str, Measured]:
    """Each profile in turn under the same running pair: round trips, then the comparison."""
    return {name: _measure(stack, name, artifacts) for name in PROFILES}


def _measure(stack: Stack, name: str, artifacts: Path) -> Measured:
    stack.up(name)
    round_trips = stack.inside("edge", "rtt", *CLOUD, "60")
    link = json.loads(stack.docker("exec", stack.container("wan"), "cat", "/tmp/ready"))
    flags = ("--profile", name, "--backend", link["backend"], "--json")
    record = json.loads(stack.bench(*COMPARE, *PARADIGMS, *flags, profile=name))
    ranked = sorted(round_trips)
    record["meta"]["measured"] = {
        "rtt_p50_ms": round(median(ranked), 2),
        "rtt_p90_ms": round(ranked[int(0.9 * len(ranked))], 2),
    }
    file = artifacts / f"{name}.json"
    file.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return Measured(name, round_trips, load_record(file))


@pytest.mark.parametrize("name", PROFILES)
def test_round_trip_is_the_profiles(links: dict[str, Measured], name: str) -> None:
    assert wrong_round_trip(preset(name), links[name].round_trips_ms) is None


@pytest.mark.parametrize("name", PROFILES)
def test_identical_token_ids(links: dict[str, Measured], name: str) -> None:
    runs = links[name].record.runs
    assert {"cloud_only", "stream_to_cloud"} <= {run.paradigm for run in runs}
    assert wrong_answers(runs) == []


def test_answers_do_not_depend_on_the_link(links: dict[str, Measured]) -> None:
    assert wrong_answers([run for link in links.values() for run in link.record.runs]) == []


@pytest.mark.parametrize("name", PROFILES)
def test_times_and_ratios_are_sane(links: dict[str, Measured], name: str) -> None:
    assert wrong_times(preset(name), links[name].record.runs) == []


def test_longer_round_trips_show(links: dict[str, Measured]) -> None:
    near, far = PROFILES[0], PROFILES[-1]
    assert wrong_growth(preset(near), links[near].record.runs, preset(far), links[far].record.runs) is None


def test_the_edge_drafted(links: dict[str, Measured]) -> None:
    """Else the paradigms were one and the same."""
    for link in links.values():
        assert sum(run.drafted for run in link.record.runs if run.paradigm == "stream_to_cloud") > 0


def test_report(links: dict[str, Measured], artifacts: Path, said: list[str]) -> None:
    """The table, and the HTML report of all links."""
    from rich.console import Console

    from benchmarks.commands.tables import comparison_table

    console = Console(width=180, record=True, file=StringIO())
    for link in links.values():
        given = link.record.meta["measured"]
        console.print(f"{link.profile} ({link.record.meta['backend']}): round trip {given['rtt_p50_ms']} ms")
        console.print(comparison_table(link.record.runs))
    table = console.export_text()
    (artifacts / "table.txt").write_text(table, encoding="utf-8")
    said.append(table)
    files = [str(artifacts / f"{name}.json") for name in PROFILES]
    page = artifacts / "report.html"
    command = [sys.executable, "-m", "benchmarks", "report", *files, "--out", str(page)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=180)
    assert "<html" in page.read_text(encoding="utf-8")
    said.append(f"logs, results and report.html are in {artifacts}")
