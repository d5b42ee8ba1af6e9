"""A hostile cloud against an honest edge, as processes: each lie ends in one clear line, or alone and marked.

The edge isn't harmed: the same process goes on, has grown by little, and asks a good cloud where it knows one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.hostile.lying_cloud import LIES, RAW, WORDS
from benchmarks.processes import DaemonProcess, start_cloud, start_edge
from benchmarks.soak.growth import read_usage
from common.ask import AskRequest, Mode, Notice, Report
from common.errors import EventSpecError
from common.shipped import shipped_drafter
from common.tokenizer import Tokenizer
from edge.asking import ask_daemon, daemon_status

pytestmark = pytest.mark.timeout(300)

WITHIN_S = 40.0  # that the slowest lie may take on a busy machine
BELIEVED = ("honest", "timings", "absurd", "zeros")  # nonsense beside an answer that is one
GROWN_MB = 160.0  # buffers of messages of 8 MiB among it


@dataclass
class Heard:
    """What an asker got: a report, or an error, and its notices."""

    mode: str = ""
    tokens: tuple[int, ...] = ()
    error: str = ""
    notices: tuple[str, ...] = ()
    took_s: float = 0.0


@dataclass
class Stage:
    """A cloud that lies, an edge that asks it, and one that knows a good cloud besides."""

    edge: DaemonProcess
    both: DaemonProcess
    raw: list[str]
    memory_mb: float


@pytest.fixture(scope="module")
def clip() -> ClipQuestion:
    return load_questions()[0]


@pytest.fixture(scope="module")
def stage(clip: ClipQuestion) -> Iterator[Stage]:
    tokenizer = Tokenizer.from_folder(shipped_drafter()).hash
    command = [sys.executable, "-m", "benchmarks.hostile.lying_cloud", "serve", "127.0.0.1:0", tokenizer]
    liar = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    daemons: list[DaemonProcess] = []
    try:
        assert liar.stdout is not None
        lying, *raw = liar.stdout.readline().rpartition(" ")[2].strip().split(",")
        good = start_cloud("--threads", "1")
        daemons.append(good)
        good.wait_ready(120)
        for cloud in (lying, f"{lying},{good.address}"):
            daemons.append(start_edge(cloud, "--threads", "1", "--give-up-after-s", "2"))
        for daemon in daemons:
            daemon.wait_ready(120)
        for _ in range(3):
            assert ask(daemons[1], clip, "honest").tokens == WORDS
        yield Stage(daemons[1], daemons[2], raw, read_usage(daemons[1].process.pid).memory_mb)
    finally:
        for daemon in daemons:
            daemon.stop()
        liar.kill()
        liar.wait()


def ask(edge: DaemonProcess, clip: ClipQuestion, question: str, mode: Mode = Mode.STREAM_TO_CLOUD) -> Heard:
    events = "" if mode is Mode.CLOUD_ONLY else str(clip.events)
    heard, notices, began = Heard(), [], time.monotonic()
    try:
        for event in ask_daemon(edge.address, AskRequest(question, events, str(clip.video), mode, max_tokens=24)):
            if isinstance(event, Notice):
                notices.append(event.text)
            elif isinstance(event, Report):
                heard.mode, heard.tokens = event.values["mode"], tuple(event.values["token_ids"])
    except EventSpecError as error:
        heard.error = str(error)
    heard.notices, heard.took_s = tuple(notices), time.monotonic() - began
    return heard


@pytest.mark.parametrize("lie", [*LIES, "compressed", "status"])
def test_a_lie_ends_alone_or_in_a_line(stage: Stage, clip: ClipQuestion, lie: str) -> None:
    alone, cloud_only = ask(stage.edge, clip, lie), ask(stage.edge, clip, lie, Mode.CLOUD_ONLY)
    assert max(alone.took_s, cloud_only.took_s) < WITHIN_S
    if lie in BELIEVED:
        assert alone.tokens == cloud_only.tokens == WORDS
    elif lie == "escapes":  # a refusal that isn't to be repeated: the asker hears it
        assert alone.error and cloud_only.error
    elif lie == "growing":  # a whole answer before it lies
        assert alone.mode
    else:
        assert alone.mode == Mode.EDGE_ONLY.value, alone
        assert "not verified" in alone.notices[-1]
        assert len(alone.notices) < 60  # of 24 streams at most
        assert cloud_only.error
        assert len(cloud_only.error) < 5_000
    assert stage.edge.process.poll() is None
    assert not any("Traceback" in line for line in stage.edge.log), stage.edge.log[-20:]


def test_nothing_of_it_stays(stage: Stage) -> None:
    status = daemon_status(stage.edge.address)
    assert status.sessions == 0
    assert read_usage(stage.edge.process.pid).memory_mb < stage.memory_mb + GROWN_MB


@pytest.mark.parametrize("lie", ["ids", "drafted", "positions", "garbage", "twice", "breaks"])
def test_a_good_cloud_is_asked_in_its_place(stage: Stage, clip: ClipQuestion, lie: str) -> None:
    heard = ask(stage.both, clip, lie)
    assert heard.mode == Mode.STREAM_TO_CLOUD.value, heard
    assert heard.tokens
    assert heard.took_s < WITHIN_S


def test_other_answers_go_on_beside_floods(stage: Stage, clip: ClipQuestion) -> None:
    """Three floods at the same time, and honest questions to the same edge: nobody waits for the floods to end."""
    with ThreadPoolExecutor(3) as pool:
        floods = [pool.submit(ask, stage.edge, clip, lie) for lie in ("flood", "stages", "growing")]
        honest = [ask(stage.edge, clip, "honest") for _ in range(10)]
        for flood in floods:
            assert flood.result(timeout=WITHIN_S).mode
    assert all(one.tokens == WORDS for one in honest), honest
    assert sorted(one.took_s for one in honest)[5] < 3.0


@pytest.mark.parametrize("kind", RAW)
def test_a_cloud_that_speaks_no_further_than_http2(stage: Stage, clip: ClipQuestion, kind: str) -> None:
    edge = start_edge(stage.raw[list(RAW).index(kind)], "--threads", "1", "--give-up-after-s", "2")
    try:
        edge.wait_ready(120)
        assert ask(edge, clip, "what?").mode == Mode.EDGE_ONLY.value
        heard = ask(edge, clip, "what?", Mode.CLOUD_ONLY)
        assert "can't be reached" in heard.error
        assert heard.took_s < WITHIN_S
    finally:
        edge.stop()
