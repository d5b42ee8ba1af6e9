"""A token that is taken back, and SIGTERM, in the middle of many answers: as documented, for every one of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from benchmarks.clips import ClipQuestion, load_questions, spread
from benchmarks.processes import DaemonProcess, wait_gone
from common.errors import AuthenticationError
from edge.asking import daemon_status
from tests.e2e.pairs import family
from tests.security.many_answers import LONG, MANY, READY_S, Askers, Heard, Stage, running

pytestmark = pytest.mark.timeout(500)

GRACE_S = 2.0
ENDS_S = GRACE_S + 6.0  # on a busy machine
REVOKED_S = 2.0 + 6.0
OTHERS = 2  # answers of somebody else meanwhile


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running(tmp_path_factory.mktemp("many")) as stage:
        yield stage


@pytest.fixture(scope="module")
def few() -> list[ClipQuestion]:
    return spread(load_questions(), 4)


@pytest.fixture(scope="module")
def truth(stage: Stage, few: list[ClipQuestion]) -> list[list[int]]:
    askers = Askers()
    askers.ask(stage.edges[1], few, count=len(few))
    found = [heard.values["token_ids"] for heard in askers.heard()]
    assert all(len(tokens) == LONG for tokens in found)
    return found


def identical(heard: list[Heard], truth: list[list[int]]) -> bool:
    """Whether all answers are what the target says, none of them finished alone."""
    return all(
        one.error is None
        and one.values["mode"] == "stream_to_cloud"
        and one.values["token_ids"] == truth[number % len(truth)]
        for number, one in enumerate(heard)
    )


def held(stage: Stage, cloud: DaemonProcess, within_s: float) -> int:
    """Sessions that a cloud holds, once there are none or the time is over."""
    token = stage.tokens.give("looking")
    command = [sys.executable, "-P", "-m", "cloud", "info", cloud.address, "--token-file", str(token)]
    deadline = time.monotonic() + within_s
    while True:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if told.returncode == 0:
            count = int(json.loads(told.stdout)["sessions_held"])
            if count == 0 or time.monotonic() > deadline:
                return count
        assert time.monotonic() < deadline + 30, told.stderr
        time.sleep(0.5)


def ended_well(daemon: DaemonProcess, within_s: float) -> None:
    """It ends by itself, in time, and leaves no process."""
    pids, began = family(daemon.process.pid), time.monotonic()
    daemon.process.terminate()
    assert daemon.process.wait(within_s + 30) == 0
    assert time.monotonic() - began < within_s
    assert wait_gone(pids, 5.0) == []
    assert not any("Traceback" in line for line in daemon.log), daemon.log[-20:]


def test_a_token_taken_back_while_a_newer_one_is_there(
    stage: Stage, few: list[ClipQuestion], truth: list[list[int]]
) -> None:
    """Eight answers resume on the newer token, token for token; somebody else's don't hear of it."""
    mine, theirs = Askers(), Askers()
    mine.ask(stage.edges[0], few, count=MANY)
    theirs.ask(stage.edges[1], few, count=OTHERS)
    mine.all_begun(MANY)
    stage.tokens.give("edge-0")
    stage.tokens.take_back("edge-0", keep=1)
    heard, others = mine.heard(), theirs.heard()
    assert identical(heard, truth)
    assert sum(one.values["resumes"] > 0 for one in heard) >= MANY // 2, "it came too late to meet them"
    assert identical(others, truth)
    assert all(one.values["resumes"] == 0 for one in others)


def test_a_token_taken_back_for_good(stage: Stage, few: list[ClipQuestion], truth: list[list[int]]) -> None:
    """Eight answers end in one clear line, soon; their sessions go when their time is over; others' answers don't."""
    mine, theirs = Askers(), Askers()
    mine.ask(stage.edges[0], few, count=MANY)
    theirs.ask(stage.edges[1], few, count=OTHERS)
    mine.all_begun(MANY)
    stage.tokens.take_back("edge-0")
    began = time.monotonic()
    heard, others = mine.heard(), theirs.heard()
    stage.tokens.give("edge-0")
    refused = [one for one in heard if one.error is not None]
    assert identical([one for one in heard if one.error is None], truth) or len(refused) == MANY
    assert len(refused) >= MANY // 2, "it came too late to meet them"
    for one in refused:
        assert isinstance(one.error, AuthenticationError)
        assert one.ended - began < REVOKED_S
    assert identical(others, truth)
    assert held(stage, stage.clouds[0], 20.0) == 0
    assert daemon_status(stage.edges[0].address).sessions == 0


def test_sigterm_at_an_edge_with_many_answers(stage: Stage, few: list[ClipQuestion], truth: list[list[int]]) -> None:
    """It ends in its grace, and the answers go on at the daemon that comes after it, token for token."""
    askers, edge = Askers(), stage.edges[0]
    askers.ask(edge, few, count=MANY, reconnect_s=120.0)
    askers.all_begun(MANY)
    ended_well(edge, ENDS_S)
    stage.edges[0] = stage.start_edge(0, edge.address)
    stage.edges[0].wait_ready(READY_S)
    heard = askers.heard()
    assert identical(heard, truth), [(one.error, one.notices[-2:]) for one in heard]
    assert held(stage, stage.clouds[0], 20.0) == 0


def test_sigterm_at_a_cloud_with_many_answers(stage: Stage, few: list[ClipQuestion], truth: list[list[int]]) -> None:
    """It ends in its grace, engine and all; the answers go on at the other cloud, token for token."""
    askers = Askers()
    askers.ask(stage.edges[0], few, count=MANY)
    askers.all_begun(MANY)
    ended_well(stage.clouds[0], ENDS_S)
    heard = askers.heard()
    assert identical(heard, truth), [(one.error, one.notices[-2:]) for one in heard]
    assert any(one.values["resumes"] > 0 for one in heard)
    assert held(stage, stage.clouds[1], 20.0) == 0
