"""Starts daemons as separate processes, waits until they are ready, and leaves none behind.

Port 0 throughout: each daemon says which port it got in its line "... ready on HOST:PORT".
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from common.errors import LinkError

_READY = " ready on "
_TETHER = Path(__file__).with_name("tether.py")

Wrap = Callable[[Sequence[str]], list[str]]


@dataclass
class DaemonProcess:
    """A daemon in a process group of its own. `log` holds its last lines of output."""

    name: str
    process: subprocess.Popen[str]
    address: str = ""
    log: list[str] = field(default_factory=list)
    _ready: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(
        cls,
        module: str,
        arguments: Sequence[str],
        environment: dict[str, str] | None = None,
        *,
        wrap: Wrap = list,
        word: str = "serve",
    ) -> DaemonProcess:
        """Start `python -m MODULE WORD ARGUMENTS`; returns at once.

        It ends when the thread that called this does, even if the whole process is killed.

        Args:
            module: the command's module.
            arguments: of its subcommand.
            environment: variables to add.
            wrap: makes the command one that runs elsewhere, e.g. on a link's side (`EmulatedLink.edge_command`).
            word: the subcommand.
        """
        command = wrap([sys.executable, "-P", "-m", module, word, *arguments])
        process = subprocess.Popen(
            [sys.executable, "-IS", str(_TETHER), str(os.getpid()), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        daemon = cls(module if word == "serve" else word, process)
        assert process.stdout is not None
        threading.Thread(target=daemon._drain, args=(process.stdout,), daemon=True).start()
        return daemon

    def _drain(self, output: IO[str]) -> None:
        for line in output:
            self.log = [*self.log, line.rstrip()][-200:]
            if _READY in line:
                self.address = line.rpartition(_READY)[2].strip()
                self._ready.set()
        self._ready.set()

    def wait_ready(self, timeout: float) -> None:
        """Until it takes calls.

        Raises:
            LinkError: it ended, or took too long; the message has its last words.
        """
        if not self._ready.wait(timeout) or not self.address:
            state = "ended" if self._ready.is_set() else f"wasn't ready within {timeout:.0f} s"
            raise LinkError(f"the daemon {self.name} {state}:\n" + "\n".join(self.log[-12:]))

    def stop(self, grace: float = 8.0) -> int:
        """Ask it to end, make it end; returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """End it and its children at once, as a crash would."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


@dataclass
class Pair:
    """A running edge and cloud."""

    edge: DaemonProcess
    cloud: DaemonProcess


def start_cloud(*arguments: str, listen: str = "127.0.0.1:0") -> DaemonProcess:
    """A cloud daemon, not yet ready."""
    return DaemonProcess.start("cloud", ["--listen", listen, *arguments])


def start_edge(cloud: str, *arguments: str) -> DaemonProcess:
    """An edge daemon for the cloud at that address, not yet ready."""
    return DaemonProcess.start("edge", ["--listen", "127.0.0.1:0", "--cloud", cloud, *arguments])


@contextmanager
def running_pair(
    *,
    target: Path | None = None,
    drafter: Path | None = None,
    cloud_arguments: Sequence[str] = (),
    edge_arguments: Sequence[str] = (),
    timeout: float = 120.0,
) -> Iterator[Pair]:
    """An edge and a cloud on this machine, ready; both are gone afterwards, whatever happens."""
    model = ["--model", str(target)] if target else []
    cloud = start_cloud(*model, *cloud_arguments)
    edge: DaemonProcess | None = None
    try:
        cloud.wait_ready(timeout)
        model = ["--model", str(drafter)] if drafter else []
        edge = start_edge(cloud.address, *model, *edge_arguments)
        edge.wait_ready(timeout)
        yield Pair(edge, cloud)
    finally:
        if edge is not None:
            edge.stop()
        cloud.stop()


def processes_left(pids: Sequence[int]) -> list[int]:
    """Those of `pids` that still run (zombies don't)."""
    left = []
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rpartition(")")[2].split()[0] != "Z":
                left.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return left


def wait_gone(pids: Sequence[int], timeout: float) -> list[int]:
    """Wait until none of `pids` runs; returns those that still do after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while processes_left(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes_left(pids)
