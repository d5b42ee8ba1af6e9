"""The running processes that faults strike: a cloud, relays that misbehave, three edges, on an emulated link.

edges 0 (patient) and 1 (hasty) ── link ── relay of bytes ────┐
edge 2 ─────────────────────────── link ── relay of messages ─┴── cloud (front, engine)
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.clips import ClipQuestion, load_questions, spread
from benchmarks.faults.clock import JumpingClock
from benchmarks.faults.schedule import EDGES, MESSAGE_EDGE
from benchmarks.faults.victims import PACED, engine_of, talkative
from benchmarks.link.base import EmulatedLink
from benchmarks.link.child import HelperProcess
from benchmarks.processes import DaemonProcess, processes_left
from common.errors import LinkError
from common.shipped import shipped_drafter, shipped_target
from edge.asking import daemon_status

READY_S = 240.0
RESUME_TTL_S = 25.0
STEP_TIMEOUT_S = 8.0
ORDER_S = 5.0  # that the engine's next step is waited for
_PATIENCE_S = {0: 90.0, 1: 4.0, MESSAGE_EDGE: 90.0}  # how long an edge waits for its cloud


@dataclass
class Running:
    """A daemon, and when it was started and found ready, by the monotonic clock."""

    daemon: DaemonProcess
    started: float
    ready: float = 0.0

    @property
    def pid(self) -> int:
        """Of the front process."""
        return self.daemon.process.pid

    def wait_ready(self) -> Running:
        """Until it takes calls."""
        self.daemon.wait_ready(READY_S)
        self.ready = self.ready or time.monotonic()
        return self


class Rig:
    """See the module's docstring; a context manager."""

    def __init__(self, link: EmulatedLink, threads: int = 1) -> None:
        self.link = link
        self._threads = ["--threads", str(threads)]
        self._temporary = tempfile.TemporaryDirectory(prefix="eventspec-faults-")
        self.folder = Path(self._temporary.name)
        self.clips: list[ClipQuestion] = spread(load_questions(), 6)
        self.clock = JumpingClock(self.folder)
        self.cloud: Running | None = None
        self.edges: list[Running] = []
        self.relay: HelperProcess | None = None
        self._relayed: dict[str, Any] = {}
        self._cloud_address = ""
        self.engine_starts_s: list[float] = []

    def __enter__(self) -> Rig:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------- starting

    def _start(self) -> None:
        (self.folder / "paced.toml").write_text(PACED)
        (self.folder / "orders").mkdir()
        self._target = talkative(shipped_target(), self.folder / "target")
        self._drafter = talkative(shipped_drafter(), self.folder / "drafter")
        self.start_cloud().wait_ready()
        assert self.cloud is not None
        self._cloud_address = self.cloud.daemon.address
        host = self._cloud_address.rpartition(":")[0]
        self.relay = HelperProcess(
            "benchmarks.faults.relay_process",
            message={"host": host, "cloud": self._cloud_address},
            wrap=self.link.cloud_command,
        )
        self._relayed = self.relay.ready
        for index in range(EDGES + 1):
            self.edges.append(self._edge(index))
        for edge in self.edges:
            edge.wait_ready()

    def start_cloud(self) -> Running:
        """Start the cloud where it was; not yet ready."""
        where = self._cloud_address or self.link.cloud_listen()
        arguments = ["--insecure", "--listen", where, "--model", str(self._target)]  # the link's own namespaces
        arguments += ["--sessions", "12", "--max-draft", "2", "--replay", str(self.folder / "paced.toml")]
        arguments += ["--resume-ttl-s", str(RESUME_TTL_S), "--step-timeout-s", str(STEP_TIMEOUT_S), *self._threads]
        orders = str(self.folder / "orders")
        environment = {"EVENTSPEC_CLOUD_FAULTS": orders, "EVENTSPEC_CLOUD_INSECURE": "1", **self.clock.environment}
        daemon = DaemonProcess.start("cloud", arguments, environment, wrap=self.link.cloud_command)
        self.cloud = Running(daemon, time.monotonic())
        return self.cloud

    def _edge(self, index: int) -> Running:
        cloud = self.link.reach(self._relayed["messages" if index == MESSAGE_EDGE else "bytes"])
        arguments = ["--listen", self.address(index), "--cloud", cloud, "--model", str(self._drafter)]
        arguments += ["--vision-model", str(self._target), "--spool", str(self.folder / f"spool-{index}")]
        arguments += ["--give-up-after-s", str(_PATIENCE_S[index]), *self._threads]
        environment = {"EVENTSPEC_EDGE_INSECURE": "1", **self.clock.environment}  # the link is this machine's own
        daemon = DaemonProcess.start("edge", arguments, environment, wrap=self.link.edge_command)
        return Running(daemon, time.monotonic())

    def start_edge(self, index: int) -> Running:
        """Start an edge where it was; not yet ready."""
        self.edges[index] = self._edge(index)
        return self.edges[index]

    # ------------------------------------------------------------------------------------------------- looking

    def address(self, edge: int) -> str:
        """Where an edge is asked: a unix socket, which lies beside the link."""
        return f"unix:{self.folder}/edge-{edge}"

    @property
    def front(self) -> Running:
        """The cloud."""
        assert self.cloud is not None
        return self.cloud

    @property
    def engine(self) -> int | None:
        """Process id of the engine; None while there is none."""
        try:
            return engine_of(self.front.pid)
        except ValueError:
            return None

    def order_engine(self, order: dict[str, Any]) -> bool:
        """What the engine does at its next step (`cloud/fault_hooks.py`); False if no step came, and none will."""
        path = self.folder / "orders" / "order.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(order))
        beside.rename(path)
        deadline = time.monotonic() + ORDER_S
        while path.exists():
            if time.monotonic() > deadline:
                path.unlink(missing_ok=True)  # or it would meet the next fault's answers
                return False
            time.sleep(0.01)
        return True

    def strike_relay(self, order: dict[str, Any]) -> dict[str, Any]:
        """An order to the relays."""
        assert self.relay is not None
        return self.relay.request(order)

    @property
    def daemons(self) -> dict[str, Running]:
        """All daemons by name."""
        return {"cloud": self.front, **{f"edge {i}": edge for i, edge in enumerate(self.edges)}}

    def dead(self) -> list[str]:
        """Daemons that have ended, with their last words."""
        found = []
        for name, running in self.daemons.items():
            if running.daemon.process.poll() is not None:
                found.append(f"{name} (status {running.daemon.process.returncode}): {running.daemon.log[-3:]}")
        return found

    def mend(self) -> None:
        """Start again what has ended."""
        if self.front.daemon.process.poll() is not None:
            self.start_cloud()
        self.front.wait_ready()
        deadline = time.monotonic() + READY_S
        while self.engine is None and time.monotonic() < deadline:
            time.sleep(0.05)
        for index, edge in enumerate(self.edges):
            if edge.daemon.process.poll() is not None:
                self.start_edge(index)
        for edge in self.edges:
            edge.wait_ready()

    def take_tracebacks(self) -> list[str]:
        """Tracebacks in the daemons' logs since the last call."""
        found = []
        for name, running in self.daemons.items():
            lines, running.daemon.log = running.daemon.log, []
            for place, line in enumerate(lines):
                # gRPC's own word on metadata that isn't UTF-8 any more is no trouble of ours
                near = lines[max(0, place - 2) : place + 3]
                if "Traceback" in line and not any("grpc._cython" in one for one in near):
                    found.append(f"{name}: " + " | ".join(lines[place : place + 30])[-600:])
        return found

    def held(self, timeout: float) -> dict[str, int]:
        """Sessions that edges and cloud still hold, after waiting for at most `timeout` seconds for all to be gone."""
        deadline = time.monotonic() + timeout
        while True:
            held = {f"edge {i}": daemon_status(self.address(i)).sessions for i in range(len(self.edges))}
            held["cloud"] = self.cloud_sessions()
            if not any(held.values()) or time.monotonic() > deadline:
                return held
            time.sleep(0.5)

    def cloud_sessions(self) -> int:
        """Sessions that the cloud's engine holds, parked ones included."""
        import subprocess
        import sys

        command = self.link.cloud_command([sys.executable, "-P", "-m", "cloud", "info", self._cloud_address])
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode != 0:
            raise LinkError(f"the cloud doesn't say what it holds: {told.stderr.strip()}")
        return int(json.loads(told.stdout)["sessions_held"])

    def close(self) -> None:
        """End everything."""
        every: Sequence[Running] = [*self.edges, *([self.cloud] if self.cloud is not None else [])]
        for running in every:
            with suppress(ProcessLookupError):
                running.daemon.process.terminate()
        for running in every:
            running.daemon.stop()
        if self.relay is not None:
            self.relay.close()
        self._temporary.cleanup()


def alive(pid: int) -> bool:
    """Whether a process runs."""
    return bool(processes_left([pid]))


def kill(pid: int) -> None:
    """Kill -9."""
    with suppress(ProcessLookupError):
        os.kill(pid, 9)
