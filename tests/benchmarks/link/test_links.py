"""Links that are up: what they give, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.link.measure import measure_link
from benchmarks.link.namespaced import NamespacedLink
from benchmarks.link.namespaces import inhabitants
from benchmarks.link.opening import choose_backend, open_link, start_link
from benchmarks.link.profile import LinkProfile
from benchmarks.processes import processes_left, wait_gone
from common.errors import LinkError, SettingsError
from tests.benchmarks.link.sides import digest_server, needs_tun, upload_seconds

THIRTY = LinkProfile("thirty", rtt_ms=30.0, uplink_mbps=20.0, downlink_mbps=20.0)
BACKENDS = [pytest.param("tun", marks=needs_tun), "proxy"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_round_trips_are_the_profiles(backend: str) -> None:
    with open_link(THIRTY, backend) as link:
        measured = measure_link(link)
    assert abs(measured.rtt_p50_ms - 30.0) <= 2.5
    assert measured.uplink_mbps is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_arrive_whole_in_spite_of_loss_and_jitter(backend: str) -> None:
    profile = LinkProfile("rough", 20.0, 20.0, 20.0, jitter_ms=10.0, loss_pct=2.0)
    with open_link(profile, backend) as link, digest_server(link) as address:
        assert upload_seconds(link, address, 300_000) > 0.12
        assert isinstance(link.notes, tuple)
        counted = link.statistics()  # type: ignore[attr-defined]
    assert counted["up"]["lost"] > 0


@needs_tun
def test_tcp_starts_slowly_on_tun_and_not_on_proxy() -> None:
    profile = LinkProfile("long", rtt_ms=100.0, uplink_mbps=50.0, downlink_mbps=50.0)
    seconds = {}
    for backend in ("tun", "proxy"):
        with open_link(profile, backend) as link, digest_server(link) as address:
            seconds[backend] = upload_seconds(link, address, 2_000_000)
    assert seconds["proxy"] > 0.32 + 0.2  # the bytes' time on the line, the handshake, the way there and back
    assert seconds["tun"] > 1.3 * seconds["proxy"]


@needs_tun
def test_loss_over_ten_thousand_packets() -> None:
    with open_link(LinkProfile("lossy", 10.0, 50.0, 50.0, loss_pct=1.0), "tun") as link:
        with digest_server(link) as address:
            upload_seconds(link, address, 14_000_000)
        up = link.statistics()["up"]  # type: ignore[attr-defined]
    assert up["sent"] > 9_000
    assert abs(100.0 * up["lost"] / up["sent"] - 1.0) <= 0.2


def wait_inhabited(link: NamespacedLink) -> None:
    while not inhabitants([link._spaces[0]]):
        time.sleep(0.01)


@needs_tun
def test_nothing_is_left_of_a_link() -> None:
    devices = socket.if_nameindex()
    link = start_link(THIRTY, "tun")
    assert isinstance(link, NamespacedLink)
    emulator = link._process.pid
    with subprocess.Popen(link.edge_command(["sleep", "300"])) as sleeper:
        wait_inhabited(link)
        link.close()
        assert sleeper.wait(5) == -signal.SIGKILL
    assert processes_left([emulator]) == []
    assert socket.if_nameindex() == devices
    link.close()


_OPENER = """
import subprocess, sys, time
from benchmarks.link.opening import start_link
from benchmarks.link.profile import LinkProfile
link = start_link(LinkProfile("x", 5.0, 10.0, 10.0), sys.argv[1])
sleeper = subprocess.Popen(link.edge_command(["sleep", "300"])) if sys.argv[1] == "tun" else None
print(link._process.pid, *([sleeper.pid] if sleeper else []), flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_left_of_a_link_whose_opener_was_killed(backend: str) -> None:
    command = [sys.executable, "-c", _OPENER, backend]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as opener:
        assert opener.stdout is not None
        pids = [int(word) for word in opener.stdout.readline().split()]
        assert len(processes_left(pids)) == (2 if backend == "tun" else 1)
        opener.kill()
    assert wait_gone(pids, 10.0) == []


@needs_tun
def test_a_killed_emulator_is_an_error_and_leaves_nothing() -> None:
    link = start_link(THIRTY, "tun")
    assert isinstance(link, NamespacedLink)
    with subprocess.Popen(link.edge_command(["sleep", "300"])) as sleeper:
        wait_inhabited(link)
        os.kill(link._process.pid, signal.SIGKILL)
        with pytest.raises(LinkError, match=r"gone|ended"):
            link.statistics()
        link.close()
        assert sleeper.wait(5) == -signal.SIGKILL


def test_backends_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no link backend 'pigeon'"):
        start_link(THIRTY, "pigeon")
    with pytest.raises(SettingsError, match="needs a link to emulate"):
        start_link(None, "proxy")
    gone = LinkProfile("x", 5.0, 10.0, 10.0, uplink_trace=str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match="can't be read as a trace"):
        start_link(gone, "proxy")
    assert choose_backend(None) == "loopback"


def test_without_root_auto_is_the_proxy_and_tun_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose_backend(THIRTY) == "proxy"
    with pytest.raises(SettingsError, match=r"tun needs root .* take --backend proxy"):
        start_link(THIRTY, "tun")
    with pytest.raises(SettingsError, match="netem needs root"):
        start_link(THIRTY, "netem")


def test_without_the_device_tun_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SettingsError, match="modprobe tun"):
        start_link(THIRTY, "tun")


def test_loopback_is_no_link() -> None:
    with open_link(None) as link, digest_server(link) as address:
        assert (link.backend, link.profile) == ("loopback", None)
        assert upload_seconds(link, address, 10_000) < 1.0


def test_the_proxy_passes_a_refused_connection_on() -> None:
    with open_link(THIRTY, "proxy") as link:
        with socket.create_server(("127.0.0.1", 0)) as server:
            unused = f"127.0.0.1:{server.getsockname()[1]}"
        host, port = link.reach(unused).split(":")
        assert link.reach(unused) == f"{host}:{port}"
        with socket.create_connection((host, int(port)), timeout=5) as client:
            assert client.recv(1) == b""
