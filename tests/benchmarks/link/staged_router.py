"""Three namespaces in a row, with the router in the middle one: prints round trips in ms and the rules left at its end.

A program of its own, as it changes its namespace: `python -m tests.benchmarks.link.staged_router`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.link.kernel import be_punctual, die_with_parent, new_network_namespace, set_sysctl, within
from benchmarks.link.netem import run_tool

_FORWARDING = {"ip_forward": "1", "conf/all/rp_filter": "0", "conf/default/rp_filter": "0"}


def _join(router: int, other: int, near: str, far: str, network: str, beyond: str) -> None:
    me = f"/proc/{os.getpid()}/fd"
    with within(router):
        run_tool(["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", f"{me}/{other}"])
        run_tool(["ip", "addr", "add", f"{network}.1/24", "dev", near])
        run_tool(["ip", "link", "set", near, "up"])
    with within(other):
        run_tool(["ip", "addr", "add", f"{network}.2/24", "dev", far])
        run_tool(["ip", "link", "set", far, "up"])
        run_tool(["ip", "route", "add", f"{beyond}.0/24", "via", f"{network}.1"])


def _start_router(namespace: int, ready: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.link.router", "--edge", "172.28.1.0/24", "--cloud", "c0", *flags]
    with within(namespace):
        return subprocess.Popen(
            [*command, "--backend", "tun", "--ready-file", str(ready)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )


def _round_trips(edge: int, cloud: int) -> list[float]:
    with within(cloud):
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        far.bind(("172.28.2.2", 9000))
    with within(edge):
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.settimeout(5)

    def echo() -> None:
        while True:
            far.sendto(*far.recvfrom(100))

    be_punctual()
    threading.Thread(target=echo, daemon=True).start()
    trips = []
    for _ in range(20):
        begin = time.monotonic()
        near.sendto(b"ping", ("172.28.2.2", 9000))
        near.recv(100)
        trips.append((time.monotonic() - begin) * 1e3)
    return sorted(trips)


def main() -> None:
    """Stage it, print one line of JSON."""
    ready = Path(sys.argv[1])
    edge, router, cloud = (new_network_namespace() for _ in range(3))
    _join(router, edge, "e0", "e1", "172.28.1", "172.28.2")
    _join(router, cloud, "c0", "c1", "172.28.2", "172.28.1")
    with within(router):
        set_sysctl("net/ipv4/ip_forward", "0")
    refused = _start_router(router, ready, "--profile", "lte")
    complaint = refused.communicate(timeout=30)[1]
    with within(router):
        for name, value in _FORWARDING.items():
            set_sysctl(f"net/ipv4/{name}", value)
            for device in ("e0", "c0"):
                set_sysctl(f"net/ipv4/conf/{device}/rp_filter", "0")
    process = _start_router(router, ready, "--rtt", "40", "--uplink", "20")
    while not ready.exists():
        if process.poll() is not None:
            sys.exit(f"the router ended: {process.communicate()[1]}")
        time.sleep(0.02)
    trips = _round_trips(edge, cloud)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=20)[0]
    with within(router):
        rules = subprocess.run(["ip", "rule"], capture_output=True, text=True, check=True).stdout
    values = {"trips": trips, "status": process.returncode, "output": output, "rules": rules, "complaint": complaint}
    print(json.dumps(values))


if __name__ == "__main__":
    main()
