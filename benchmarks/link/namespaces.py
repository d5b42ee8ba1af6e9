"""What the processes that hold a link's two network namespaces have in common."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from benchmarks.link.kernel import configure_interface, set_sysctl

EDGE_ADDRESS = "10.79.0.1"
CLOUD_ADDRESS = "10.79.0.2"

# Each connection on its own terms: no figures of earlier ones, the same congestion control everywhere, and buffers that
# can fill a long fat pipe (100 Mbit/s over 600 ms takes 7.5 MB).
_TCP = {
    "net/ipv4/tcp_no_metrics_save": "1",
    "net/ipv4/tcp_congestion_control": "cubic",
    "net/ipv4/tcp_rmem": "4096 131072 33554432",
    "net/ipv4/tcp_wmem": "4096 65536 33554432",
}
_QUIET = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}


def prepare_namespace() -> list[str]:
    """Loopback up and TCP's settings, in this thread's namespace; returns notes on what could not be set."""
    configure_interface("lo")
    for path, value in _QUIET.items():
        set_sysctl(path, value)
    missed = [path.rpartition("/")[2] for path, value in _TCP.items() if not set_sysctl(path, value)]
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text(encoding="ascii").strip()
    notes = [f"TCP congestion control: {control}"]
    if missed:
        notes.append(f"TCP settings left as the machine has them: {', '.join(missed)}")
    return notes


def inhabitants(namespaces: Iterable[int]) -> list[int]:
    """Processes other than this one in any of the namespaces."""
    wanted = {(status.st_dev, status.st_ino) for status in map(os.fstat, namespaces)}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            status = (entry / "ns" / "net").stat()
            if (status.st_dev, status.st_ino) in wanted:
                found.append(int(entry.name))
    return found


def kill_inhabitants(namespaces: list[int], home: int) -> None:
    """End what runs in the namespaces, which the emulator made for nobody else; `home` is the machine's own."""
    made = [space for space in namespaces if not os.path.samestat(os.fstat(space), os.fstat(home))]
    deadline = time.monotonic() + 5.0
    while (found := inhabitants(made)) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
