"""How daemons end, and what their peers make of it: two clouds that are killed in turn, a drained one, SIGTERM at work.

The models never end an answer, and a pass takes 15 ms, so that there is something to meet in the middle.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.faults.victims import PACED
from benchmarks.processes import DaemonProcess, start_cloud, start_edge
from common.ask import Mode
from common.errors import LinkError
from common.shipped import shipped_drafter, shipped_target
from tests.e2e.pairs import ask, family, talkative

pytestmark = pytest.mark.timeout(300)  # four daemons are loaded

LONG = 120
READY_S = 100.0
GRACE_S = 2.0  # of a daemon that ends
IDLE_S, BUSY_S = 3.0, GRACE_S + 3.0  # within which an edge ends; one that is at work gives its answers the grace
DRAINING = "takes no new answers, it is going down"


@dataclass
class Place:
    """A cloud that can be killed, and comes back where it was."""

    arguments: tuple[str, ...]
    daemon: DaemonProcess = field(init=False)
    address: str = "127.0.0.1:0"

    def begin(self) -> None:
        self.daemon = start_cloud(*self.arguments, listen=self.address)

    def ready(self) -> None:
        self.daemon.wait_ready(READY_S)
        self.address = self.daemon.address


@dataclass
class Stage:
    """Two clouds, an edge that knows both, and one that knows the first alone."""

    clouds: list[Place]
    both: DaemonProcess
    single: DaemonProcess


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("ends")
    (folder / "paced.toml").write_text(PACED)
    target, drafter = talkative(shipped_target(), folder / "target"), talkative(shipped_drafter(), folder / "drafter")
    pace = ("--max-draft", "1", "--replay", str(folder / "paced.toml"))
    clouds = [Place(("--model", str(target), "--threads", "1", *pace)) for _ in range(2)]
    edges: list[DaemonProcess] = []
    try:
        for cloud in clouds:
            cloud.begin()
        for cloud in clouds:
            cloud.ready()
        first, second = (cloud.address for cloud in clouds)
        model = ("--model", str(drafter), "--threads", "1", "--give-up-after-s")
        edges = [start_edge(f"{first},{second}", *model, "60"), start_edge(first, *model, "1.2")]
        for edge in edges:
            edge.wait_ready(READY_S)
        yield Stage(clouds, *edges)
    finally:
        for daemon in (*edges, *(cloud.daemon for cloud in clouds)):
            daemon.kill()


@pytest.fixture
def clip(clips: list[ClipQuestion]) -> ClipQuestion:
    return clips[2]


def test_two_clouds_are_killed_in_turn_and_no_token_changes(stage: Stage, clip: ClipQuestion) -> None:
    first, second = stage.clouds
    truth = ask(stage.both.address, clip, mode=Mode.CLOUD_ONLY, max_tokens=LONG).token_ids
    assert len(truth) == LONG
    asked = ask(stage.both.address, clip, max_tokens=LONG, on_first_commit=first.daemon.kill)
    assert asked.token_ids == truth
    assert (asked.values["mode"], asked.values["resumes"]) == ("stream_to_cloud", 1)
    first.begin()  # it comes back, and the other one goes
    first.ready()
    asked = ask(stage.both.address, clip, max_tokens=LONG, on_first_commit=second.daemon.kill)
    assert asked.token_ids == truth
    assert (asked.values["mode"], asked.values["resumes"]) == ("stream_to_cloud", 1)


def test_the_only_cloud_drains(stage: Stage, clip: ClipQuestion) -> None:
    """What runs ends as it would have; what is new hears why, and when to come back."""
    drain = [sys.executable, "-m", "cloud", "drain", stage.clouds[0].address]
    truth = ask(stage.single.address, clip, mode=Mode.CLOUD_ONLY, max_tokens=250).token_ids
    drains: list[subprocess.Popen[str]] = []

    def while_it_drains() -> None:
        process = subprocess.Popen(
            [*drain, "--grace-s", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        drains.append(process)
        assert process.stderr is not None
        assert process.stderr.readline() == "1 sessions still run\n"
        with pytest.raises(LinkError, match=DRAINING):
            ask(stage.single.address, clip, mode=Mode.CLOUD_ONLY, max_tokens=5)
        alone = ask(stage.single.address, clip, max_tokens=5)
        assert alone.values["mode"] == "edge_only"
        assert any(DRAINING in notice for notice in alone.notices)

    asked = ask(stage.single.address, clip, mode=Mode.CLOUD_ONLY, max_tokens=250, on_first_commit=while_it_drains)
    assert asked.token_ids == truth
    assert asked.values["resumes"] == 0
    assert drains[0].communicate(timeout=60)[0] == "drained; 0 sessions went elsewhere\n"
    subprocess.run([*drain, "--undo"], check=True, capture_output=True, timeout=60)
    assert ask(stage.single.address, clip, max_tokens=5).values["mode"] == "stream_to_cloud"


def test_an_idle_edge_ends_at_once(stage: Stage) -> None:
    took = ended_after(stage.both)
    assert took < IDLE_S


def test_an_edge_at_work_ends_after_its_grace_even_if_the_cloud_takes_nothing(stage: Stage, clip: ClipQuestion) -> None:
    begun = threading.Semaphore(0)

    def run() -> None:
        with pytest.raises(LinkError):
            ask(stage.single.address, clip, mode=Mode.CLOUD_ONLY, max_tokens=250, on_first_commit=begun.release)

    askers = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for asker in askers:
        asker.start()
    assert all(begun.acquire(timeout=30) for _ in askers)
    for pid in family(stage.clouds[0].daemon.process.pid):
        os.kill(pid, signal.SIGSTOP)
    took = ended_after(stage.single)
    assert took < BUSY_S
    for asker in askers:
        asker.join(10)


def ended_after(daemon: DaemonProcess) -> float:
    """Seconds that a daemon takes to end in good order."""
    began = time.monotonic()
    daemon.process.terminate()
    assert daemon.process.wait(60) == 0
    assert not any("Traceback" in line for line in daemon.log), daemon.log
    return time.monotonic() - began
