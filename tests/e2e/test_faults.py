"""Daemons that are killed in the middle of an answer: the token ids stay the same, and no process is left.

Models of this file never end an answer by themselves, so that there is time to hit it; every fault is triggered by the
first committed text, and the report must say that it was noticed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.faults.victims import PACED, command
from benchmarks.processes import DaemonProcess, start_cloud, start_edge, wait_gone
from common.ask import Mode
from common.errors import LinkError
from common.shipped import shipped_drafter, shipped_target
from common.types import Pace, SamplingParams
from edge.asking import daemon_status
from tests.e2e.pairs import ask, children, engine_of, family, talkative

LONG = 150
READY = 100.0  # seconds that a daemon may take to start on a machine that is busy with other things
# `python -m edge`, also where this process ignores SIGINT (as jobs in the background do) and its children would too
ASKER = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""
SAMPLED = SamplingParams(1.0, top_p=0.95, seed=7)


def poll(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait until `condition` is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


class Cloud:
    """A cloud with one session, which can be killed and comes back where it was."""

    def __init__(self, model: Path, profile: Path) -> None:
        self._model = model
        self._profile = profile
        self._daemon: DaemonProcess | None = None
        self._truths: dict[tuple[str, SamplingParams], list[int]] = {}
        self.address = "127.0.0.1:0"

    def begin(self) -> DaemonProcess:
        """Start it; not yet ready."""
        pace = ("--max-draft", "1", "--replay", str(self._profile))
        arguments = ("--model", str(self._model), "--sessions", "1", "--threads", "1", *pace)
        self._daemon = start_cloud(*arguments, listen=self.address)
        return self._daemon

    def ensure(self) -> DaemonProcess:
        """A cloud that is ready."""
        if self._daemon is None or self._daemon.process.poll() is not None:
            self.begin()
        assert self._daemon is not None
        self._daemon.wait_ready(READY)
        self.address = self._daemon.address
        return self._daemon

    def kill(self) -> None:
        """As a crash of the whole machine."""
        if self._daemon is not None:
            self._daemon.kill()

    def truth(self, edge: str, clip: ClipQuestion, sampling: SamplingParams) -> list[int]:
        """What it answers alone, undisturbed."""
        key = (clip.question, sampling)
        if key not in self._truths:
            self._truths[key] = ask(edge, clip, mode=Mode.CLOUD_ONLY, sampling=sampling, max_tokens=LONG).token_ids
        return self._truths[key]


@dataclass
class Stage:
    """A cloud, and two edges that give it up late and soon."""

    cloud: Cloud
    edges: list[DaemonProcess]

    @property
    def patient(self) -> str:
        """Address of the edge that waits long for its cloud."""
        return self.edges[0].address

    @property
    def hasty(self) -> str:
        """Address of the edge that soon goes on alone."""
        return self.edges[1].address


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("talkative")
    (folder / "paced.toml").write_text(PACED)
    cloud = Cloud(talkative(shipped_target(), folder / "target"), folder / "paced.toml")
    drafter = ("--model", str(talkative(shipped_drafter(), folder / "drafter")), "--threads", "1")
    edges: list[DaemonProcess] = []
    try:
        cloud.ensure()
        edges = [start_edge(cloud.address, *drafter, "--give-up-after-s", wait) for wait in ("90", "1.5")]
        for edge in edges:
            edge.wait_ready(READY)
        yield Stage(cloud, edges)
    finally:
        for edge in edges:
            edge.stop()
        cloud.kill()


@pytest.fixture
def clip(clips: list[ClipQuestion]) -> ClipQuestion:
    return clips[2]


# -------------------------------------------------------------------------------------------------- the cloud is lost


@pytest.mark.parametrize(
    ("sampling", "pace"), [(SamplingParams(), Pace.EAGER), (SAMPLED, Pace.PATIENT)], ids=["greedy", "sampled"]
)
def test_a_killed_cloud_that_comes_back_changes_nothing(
    stage: Stage, clip: ClipQuestion, sampling: SamplingParams, pace: Pace
) -> None:
    stage.cloud.ensure()
    truth = stage.cloud.truth(stage.patient, clip, sampling)
    assert len(truth) == LONG

    def strike() -> None:
        stage.cloud.kill()
        stage.cloud.begin()

    asked = ask(stage.patient, clip, sampling=sampling, pace=pace, max_tokens=LONG, on_first_commit=strike)
    assert asked.token_ids == truth
    assert asked.values["resumes"] >= 1
    assert asked.values["mode"] == "stream_to_cloud"
    assert any("link lost" in n for n in asked.notices)
    assert any("connected again" in n for n in asked.notices)


@pytest.mark.parametrize("mode", [Mode.STREAM_TO_CLOUD, Mode.CLOUD_ONLY])
def test_a_killed_engine_process_changes_nothing(stage: Stage, clip: ClipQuestion, mode: Mode) -> None:
    front = stage.cloud.ensure()
    truth = stage.cloud.truth(stage.patient, clip, SamplingParams())
    engine = engine_of(front.process.pid)
    asked = ask(
        stage.patient, clip, mode=mode, max_tokens=LONG, on_first_commit=lambda: os.kill(engine, signal.SIGKILL)
    )
    assert asked.token_ids == truth
    assert asked.values["resumes"] >= 1
    assert asked.values["mode"] == mode.value
    assert front.process.poll() is None
    assert engine_of(front.process.pid) != engine
    assert any("engine process died" in line for line in front.log)


def test_a_cloud_that_stays_away_leaves_the_rest_to_the_edge(stage: Stage, clip: ClipQuestion) -> None:
    stage.cloud.ensure()
    truth = stage.cloud.truth(stage.patient, clip, SamplingParams())
    asked = ask(stage.hasty, clip, max_tokens=LONG, on_first_commit=stage.cloud.kill)
    assert asked.values["mode"] == "edge_only"
    assert asked.values["tokens"] == LONG
    assert any("finishes alone" in n and "not verified" in n for n in asked.notices)
    committed = next(a for a in asked.answers if a.committed_text).committed_text
    assert asked.values["answer"].startswith(committed)
    assert asked.token_ids[0] == truth[0]


def test_without_a_cloud_from_the_start_the_edge_answers_alone(stage: Stage, clip: ClipQuestion) -> None:
    stage.cloud.kill()
    asked = ask(stage.hasty, clip, max_tokens=20)
    assert asked.values["mode"] == "edge_only"
    assert asked.values["tokens"] == 20
    assert asked.values["verifications"] == 0
    with pytest.raises(LinkError):
        ask(stage.hasty, clip, mode=Mode.CLOUD_ONLY, max_tokens=20)
    assert daemon_status(stage.hasty).sessions == 0


def test_an_edge_that_found_no_cloud_uses_it_when_it_comes(stage: Stage, clip: ClipQuestion) -> None:
    stage.cloud.kill()
    assert ask(stage.hasty, clip, max_tokens=5).values["mode"] == "edge_only"
    stage.cloud.ensure()
    assert ask(stage.hasty, clip, max_tokens=5).values["mode"] == "stream_to_cloud"


# --------------------------------------------------------------------------------------------------- the asker is lost


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_an_asker_that_dies_frees_its_session(stage: Stage, clip: ClipQuestion, blow: signal.Signals) -> None:
    stage.cloud.ensure()
    command = [sys.executable, "-c", ASKER, "ask", clip.question, "--events", str(clip.events)]
    command += ["--video", str(clip.video), "--edge", stage.patient, "--max-tokens", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        assert asker.stdout.read(1)
        asker.send_signal(blow)
        status = asker.wait(30.0)
    assert status == (130 if blow is signal.SIGINT else -signal.SIGKILL)
    poll(lambda: daemon_status(stage.patient).sessions == 0)
    asked = ask(stage.patient, clip, max_tokens=5)  # the cloud's only session is free again, at once
    assert asked.notices == []
    assert asked.values["tokens"] == 5


# ------------------------------------------------------------------------------------------------- nothing is left


def loading_engine(cloud: DaemonProcess) -> int:
    """The engine process of a cloud that has just been started."""
    poll(lambda: any("cloud.engine_process" in command(pid) for pid in children(cloud.process.pid)))
    return engine_of(cloud.process.pid)


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_a_front_that_goes_while_the_target_loads_leaves_no_orphan(blow: signal.Signals) -> None:
    cloud = start_cloud("--threads", "1")
    try:
        engine = loading_engine(cloud)
        cloud.process.send_signal(blow)
        cloud.process.wait(20.0)
        assert wait_gone([engine], 60.0) == []
    finally:
        cloud.kill()


def test_a_killed_front_leaves_no_orphan(stage: Stage) -> None:
    front = stage.cloud.ensure()
    engine = engine_of(front.process.pid)
    os.kill(front.process.pid, signal.SIGKILL)
    front.process.wait()
    assert wait_gone([engine], 20.0) == []


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemons = [DaemonProcess.start(m, ["--listen", address, "--threads", "1"]) for m in ("edge", "cloud")]
        try:
            for daemon in daemons:
                with pytest.raises(LinkError, match="is another daemon there"):
                    daemon.wait_ready(READY)
                assert daemon.process.wait(20.0) == 2
                assert not any("Traceback" in line for line in daemon.log)
        finally:
            for daemon in daemons:
                daemon.kill()


def test_ctrl_c_in_the_middle_of_an_answer_ends_everything(stage: Stage, clip: ClipQuestion) -> None:
    """To whole process groups, as a terminal does; the last test of this file, for it ends the stage."""
    daemons = [*stage.edges, stage.cloud.ensure()]
    everyone = family(*(daemon.process.pid for daemon in daemons))
    assert len(everyone) >= 4

    def interrupt() -> None:
        for daemon in daemons:
            os.killpg(daemon.process.pid, signal.SIGINT)

    with contextlib.suppress(LinkError):  # the edge may or may not have the time to finish it alone
        ask(stage.patient, clip, max_tokens=LONG, on_first_commit=interrupt)
    for daemon in daemons:
        assert daemon.process.wait(30.0) == 0
        assert not any("Traceback" in line for line in daemon.log)
    assert wait_gone(everyone, 10.0) == []
