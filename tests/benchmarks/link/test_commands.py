"""`eventspec-bench link` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.link.presets import PRESETS
from benchmarks.processes import wait_gone
from tests.benchmarks.link.sides import needs_tun

ROOT = Path(__file__).parents[3]
LINK = [sys.executable, "-m", "benchmarks", "link"]
BACKENDS = [pytest.param("tun", marks=needs_tun), "proxy", "loopback"]


def link(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LINK, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=timeout, check=False)


def test_profiles_are_listed() -> None:
    assert json.loads(link("profiles", "--json").stdout) == {
        name: json.loads(json.dumps(profile.as_dict())) for name, profile in PRESETS.items()
    }
    assert "transatlantic" in link("profiles").stdout


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("check",), "say which link"),
        (("check", "--profile", "x"), "there is no link profile"),
        (("check", "--rtt", "-1", "--uplink", "5"), "rtt_ms must be between"),
        (("check", "--rtt", "5"), "give --uplink"),
        (("check", "--profile", "lan", "--backend", "loopback"), "nothing to check"),
        (("run", "--forward", "here", "--", "true"), "--forward takes HOST:PORT"),
        (("run", "--backend", "proxy", "--", "true"), "needs a link to emulate"),
    ],
)
def test_bad_input_is_one_line(arguments: Sequence[str], wrong: str) -> None:
    done = link(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and wrong in done.stderr


_ASK = "import socket,os;h,p='{cloud}'.split(':');s=socket.create_connection((h,int(p)));print(s.recv(9).decode());"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_command_reaches_its_cloud_over_the_link(backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"), daemon=True).start()
        forward = f"127.0.0.1:{server.getsockname()[1]}"
        program = _ASK + "print(os.environ['EVENTSPEC_EDGE_CLOUD']=='{cloud}');raise SystemExit(7)"
        arguments = ["--rtt", "40", "--uplink", "5", "--backend", backend, "--forward", forward]
        done = link("run", *arguments, "--", sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (7, "hello\nTrue\n")
    assert f"leads to {forward}" in done.stderr


def test_a_command_that_is_not_there() -> None:
    assert link("run", "--rtt", "5", "--uplink", "5", "--", "no-such-command").returncode == 127


@pytest.mark.parametrize("backend", [pytest.param("tun", marks=needs_tun)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_leave_nothing(backend: str, number: signal.Signals, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    program = f"import os,time,pathlib;pathlib.Path({str(marker)!r}).write_text(str(os.getpid()));time.sleep(300)"
    arguments = ["run", "--rtt", "5", "--uplink", "5", "--backend", backend, "--", sys.executable, "-c", program]
    with subprocess.Popen([*LINK, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True) as bench:
        while not marker.exists() or not marker.read_text():
            assert bench.poll() is None
            time.sleep(0.02)
        pids = [int(marker.read_text()), *_children(bench.pid)]
        assert len(pids) >= 3  # the command, the emulator, the forwarder
        if number is signal.SIGINT:
            os.killpg(bench.pid, number)  # as a terminal does
        else:
            bench.send_signal(number)
        bench.wait(20)
    assert wait_gone(pids, 10.0) == []


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@needs_tun
def test_check_measures_what_the_profile_says() -> None:
    done = link("check", "--rtt", "20", "--uplink", "10", "--downlink", "20", "--backend", "tun", "--json", timeout=110)
    values = json.loads(done.stdout)
    assert set(values) == {"profile", "backend", "measured"}
    assert set(values["measured"]) == {"rtt_p50_ms", "rtt_p99_ms", "uplink_mbps", "downlink_mbps", "loss_pct"}
    assert values["backend"] == "tun"
    assert abs(values["measured"]["rtt_p50_ms"] - 20) <= 2
    assert abs(values["measured"]["uplink_mbps"] - 10) <= 1
    assert abs(values["measured"]["downlink_mbps"] - 20) <= 2
    assert values["measured"]["loss_pct"] < 0.1
