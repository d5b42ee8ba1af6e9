"""From start to end: a port that is taken is found before anything loads, and no signal leaves anything behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.clips import load_questions
from benchmarks.processes import DaemonProcess, start_cloud, start_edge, wait_gone
from common.ask import Mode
from common.errors import LinkError, NotReadyError
from common.scratch import PREFIX
from edge.asking import daemon_status
from tests.e2e.pairs import ask, children, command, engine_of, family

READY = 150.0  # seconds that a daemon may take to load on a busy machine
NOBODY = "127.0.0.1:1"
SERVING = health_pb2.HealthCheckResponse.ServingStatus.Value("SERVING")
SIDES = ["cloud", "edge"]


def poll(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def begin(side: str, place: Path, *more: str) -> DaemonProcess:
    """A daemon whose temporary files go to a folder of its own, and that is asked at the unix socket beside it."""
    (place / "tmp").mkdir(exist_ok=True)
    where = ["--local-listen", f"unix:{place}/asked"] if side == "cloud" else ["--cloud", NOBODY]
    listen = "127.0.0.1:0" if side == "cloud" else f"unix:{place}/asked"
    arguments = ["--listen", listen, *where, "--threads", "1", *more]
    return DaemonProcess.start(side, arguments, {"TMPDIR": str(place / "tmp")})


@contextmanager
def started(side: str, place: Path, *more: str) -> Iterator[DaemonProcess]:
    daemon = begin(side, place, *more)
    try:
        yield daemon
    finally:
        daemon.kill()


def has_engine(daemon: DaemonProcess) -> bool:
    """Whether a cloud's engine process has been started."""
    return any("cloud.engine_process" in command(pid) for pid in children(daemon.process.pid))


def left(place: Path) -> list[str]:
    """What daemons have left of temporary folders."""
    return [path.name for path in (place / "tmp").iterdir() if path.name.startswith(PREFIX)]


def health(place: Path, name: str) -> int | None:
    """SERVING or NOT_SERVING; None: nobody answers."""
    with grpc.insecure_channel(f"unix:{place}/asked") as channel:
        try:
            asked = health_pb2.HealthCheckRequest(service=name)
            return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5.0).status)
        except grpc.RpcError:
            return None


# -------------------------------------------------------------------------------------------------------- the start


@pytest.mark.parametrize("side", SIDES)
def test_a_daemon_that_loads_lives_and_isnt_ready(side: str, tmp_path: Path) -> None:
    with started(side, tmp_path) as daemon:
        poll(lambda: health(tmp_path, "liveness") is not None)
        # loading takes seconds; what is said meanwhile is said by a daemon that hasn't printed its line
        seen = health(tmp_path, "liveness"), health(tmp_path, "readiness"), health(tmp_path, "")
        if side == "edge":
            with pytest.raises(NotReadyError, match="loading"):
                daemon_status(f"unix:{tmp_path}/asked")
        assert not daemon.address, "it was ready before it could be asked"
        assert seen == (SERVING, 1 + SERVING, 1 + SERVING)
        daemon.wait_ready(READY)
        assert health(tmp_path, "readiness") == SERVING


@pytest.fixture(autouse=True)
def hang_ups_are_heard() -> Iterator[None]:
    """Also where the tests themselves run under nohup, which children inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("flag", ["--listen", "--metrics"])
def test_a_port_that_is_taken_is_found_before_anything_loads(side: str, flag: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with started(side, tmp_path, flag, address) as daemon:
            with pytest.raises(LinkError):
                daemon.wait_ready(READY)
            assert daemon.process.wait(20.0) == 2
            (line,) = [line for line in daemon.log if line.startswith(f"eventspec-{side}: ")]
            assert address in line
            assert not any("loading" in line or "Traceback" in line for line in daemon.log)
    assert left(tmp_path) == []


# ---------------------------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize("blow", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
@pytest.mark.parametrize("side", SIDES)
def test_a_signal_to_all_its_processes_ends_a_daemon_in_good_order(
    side: str, blow: signal.Signals, tmp_path: Path
) -> None:
    """Also while it loads; SIGHUP is what a terminal that closes sends."""
    with started(side, tmp_path) as daemon:
        poll(lambda: health(tmp_path, "liveness") == SERVING)
        if side == "cloud":
            poll(lambda: has_engine(daemon))
        if blow is signal.SIGHUP:
            daemon.wait_ready(READY)
        everyone = family(daemon.process.pid)
        os.killpg(daemon.process.pid, blow)
        assert daemon.process.wait(30.0) == 0
        assert wait_gone(everyone, 10.0) == []
        poll(lambda: not any("Traceback" in line or "engine process died" in line for line in daemon.log), 0.1)
    assert left(tmp_path) == []


@pytest.mark.parametrize("loaded", [False, True], ids=["loading", "loaded"])
@pytest.mark.parametrize("side", SIDES)
def test_what_kill_9_leaves_is_gone_with_the_next_start(side: str, loaded: bool, tmp_path: Path) -> None:
    with started(side, tmp_path) as daemon:
        poll(lambda: health(tmp_path, "liveness") == SERVING)
        if side == "cloud":
            poll(lambda: has_engine(daemon))
        if loaded:
            daemon.wait_ready(READY)
        everyone = family(daemon.process.pid)
        os.kill(daemon.process.pid, signal.SIGKILL)  # the front alone
        daemon.process.wait()
        assert wait_gone(everyone, 20.0) == []
    dead = left(tmp_path)
    assert len(dead) == (side == "cloud")
    with started(side, tmp_path) as after:
        poll(lambda: health(tmp_path, "liveness") == SERVING)
        assert len(left(tmp_path)) == (side == "cloud")
        assert not set(dead) & set(left(tmp_path))
        after.process.terminate()
        assert after.process.wait(30.0) == 0
    assert left(tmp_path) == []


def test_nohup_keeps_a_daemon_alive(tmp_path: Path) -> None:
    with started("edge", tmp_path) as loud:
        poll(lambda: health(tmp_path, "liveness") == SERVING)
        loud.stop()
    quiet = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    arguments = ["--listen", f"unix:{tmp_path}/asked", "--cloud", NOBODY, "--threads", "1"]
    daemon = DaemonProcess.start("edge", arguments, wrap=lambda words: [*quiet, *words])
    try:
        poll(lambda: health(tmp_path, "liveness") == SERVING)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_ready(READY)
        assert daemon.process.poll() is None
    finally:
        daemon.stop()


def test_an_edge_goes_on_with_a_cloud_that_it_met_loading(tmp_path: Path) -> None:
    """The cloud's address answers before its target is loaded: that is a reason to come back, and no answer."""
    with started("cloud", tmp_path) as cloud:
        poll(lambda: health(tmp_path, "liveness") == SERVING)
        edge = start_edge(f"unix:{tmp_path}/asked", "--threads", "1", "--give-up-after-s", str(READY))
        try:
            edge.wait_ready(READY)
            asked = ask(edge.address, load_questions()[0], mode=Mode.CLOUD_ONLY, max_tokens=8)
            assert asked.values["mode"] == "cloud_only" and asked.token_ids
            cloud.wait_ready(READY)
        finally:
            edge.stop()


def test_two_clouds_at_one_address_one_is_told_so(tmp_path: Path) -> None:
    """Also at a unix socket, which gRPC alone would take away from who has it."""
    address = f"unix:{tmp_path}/one"
    first = start_cloud("--threads", "1", listen=address)
    try:
        poll(lambda: Path(address[5:]).exists())
        second = start_cloud("--threads", "1", listen=address)
        try:
            with pytest.raises(LinkError, match="is another daemon there"):
                second.wait_ready(READY)
        finally:
            second.kill()
        first.wait_ready(READY)
        assert first.process.poll() is None
    finally:
        first.stop()


def test_a_stopped_engine_is_found_by_doctor(tmp_path: Path) -> None:
    """It holds its memory and its place among the processes, and does nothing."""
    with started("cloud", tmp_path) as daemon:
        daemon.wait_ready(READY)
        words = [sys.executable, "-P", "-m", "cloud", "doctor", "--listen", daemon.address, "--json"]
        words += ["--local-listen", f"unix:{tmp_path}/asked"]

        def doctor() -> dict[str, str]:
            done = subprocess.run(words, capture_output=True, text=True, timeout=READY, check=False)
            (check,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "listen"]
            assert done.returncode == (check["state"] == "failure")
            return dict(check)

        assert doctor()["state"] == "ok"
        os.kill(engine_of(daemon.process.pid), signal.SIGSTOP)
        poll(lambda: health(tmp_path, "readiness") != SERVING)
        check = doctor()
        assert check["state"] == "failure"
        assert "isn't ready" in check["found"] and "engine" in check["todo"]
