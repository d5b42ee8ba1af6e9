"""Two clouds and an edge as processes: one cloud is drained in the middle of an answer, which goes on at the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cloud.__main__
from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.faults.victims import PACED, talkative
from benchmarks.processes import DaemonProcess, start_cloud, start_edge
from common.shipped import shipped_drafter, shipped_target
from tests.e2e.pairs import ask
from tests.operations.scraping import metrics_url, scrape, scrape_until

METRICS = ["--metrics", "127.0.0.1:0", "--threads", "1"]


@dataclass
class Three:
    clouds: list[DaemonProcess]
    edge: DaemonProcess


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    folder = tmp_path_factory.mktemp("models")
    target, drafter = talkative(shipped_target(), folder / "target"), talkative(shipped_drafter(), folder / "drafter")
    (folder / "paced.toml").write_text(PACED)  # so slow that an answer isn't over before it is struck
    slow = ["--replay", str(folder / "paced.toml"), "--max-draft", "2"]
    clouds = [start_cloud("--model", str(target), *METRICS, *more) for more in (slow, [])]
    started = list(clouds)
    try:
        for cloud in clouds:
            cloud.wait_ready(120)
        addresses = ",".join(cloud.address for cloud in clouds)
        edge = start_edge(addresses, "--model", str(drafter), *METRICS)
        started.append(edge)
        edge.wait_ready(120)
        yield Three(clouds, edge)
    finally:
        for daemon in started:
            daemon.stop()


@pytest.fixture(scope="module")
def question() -> ClipQuestion:
    return load_questions()[0]


def drain(address: str, *more: str) -> str:
    """The command, in this process: an interpreter takes as long to start as the answer may last."""
    done = CliRunner().invoke(cloud.__main__.app, ["drain", address, *more], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_drained_clouds_answer_goes_on_elsewhere(three: Three, question: ClipQuestion) -> None:
    whole = ask(three.edge.address, question, max_tokens=160).token_ids
    first, second = three.clouds
    told: list[str] = []
    asked = ask(
        three.edge.address,
        question,
        max_tokens=160,
        on_first_commit=lambda: told.append(drain(first.address, "--grace-s", "0")),
    )
    assert told == ["drained; 1 sessions went elsewhere\n"]
    assert asked.token_ids == whole
    assert (asked.values["mode"], asked.values["resumes"]) == ("stream_to_cloud", 1)
    drained = scrape(metrics_url(first))
    assert drained.value("eventspec_cloud_sessions_handed_over_total") == 1
    assert (drained.value("eventspec_cloud_ready"), drained.value("eventspec_cloud_draining")) == (0, 1)
    other = scrape_until(
        metrics_url(second), lambda s: s.value("eventspec_cloud_sessions_opened_total", how="replayed") == 1
    )
    assert other.value("eventspec_cloud_ready") == 1
    assert scrape(metrics_url(three.edge)).value("eventspec_edge_resumes_total") == 1


def test_a_drain_is_undone(three: Three) -> None:
    assert drain(three.clouds[0].address, "--undo") == "takes new sessions again\n"
    assert scrape(metrics_url(three.clouds[0])).value("eventspec_cloud_ready") == 1


def test_the_doctor_finds_a_running_pair_well(three: Three, tmp_path: Path) -> None:
    import json

    command = [sys.executable, "-m", "edge", "doctor", "--cloud", three.clouds[1].address, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    name = f"cloud {three.clouds[1].address}"
    assert {checks[key]["state"] for key in (name, f"{name}: link", f"{name}: target", "drafter", "torch")} == {"ok"}
    assert "Mbit/s" in checks[f"{name}: link"]["found"]
    assert done.returncode == 0
