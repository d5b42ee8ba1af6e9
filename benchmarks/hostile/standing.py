"""Whether daemons stand as they stood: the same processes, and memory as it was, their children's included."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.victims import engine_of, family
from benchmarks.processes import DaemonProcess, processes_left
from benchmarks.soak.growth import read_usage

_MAY_GROW = 0.1
_SETTLES_S = 20.0
_LOOK_S = 1.0


Look = dict[str, tuple[tuple[int, ...], float]]
"""Of each daemon, the processes that must live on, and its memory in MB."""


@dataclass(frozen=True, slots=True)
class Stood:
    """One daemon before and after. Memory is the proportional set size of all its processes, in MB."""

    name: str
    same: bool
    before_mb: float
    after_mb: float

    @property
    def good(self) -> bool:
        """The same processes, with no more memory than a tenth above what they had."""
        return self.same and self.after_mb <= (1 + _MAY_GROW) * self.before_mb

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def looked_at(cloud: DaemonProcess, edges: list[DaemonProcess]) -> Look:
    """Every daemon by its name."""
    daemons = {"cloud": cloud.process.pid} | {f"edge {number}": edge.process.pid for number, edge in enumerate(edges)}
    return {name: ((pid, *_engine(pid)), sum(map(_pss_mb, family(pid)))) for name, pid in daemons.items()}


def stood(before: Look, cloud: DaemonProcess, edges: list[DaemonProcess]) -> tuple[Stood, ...]:
    """How they stand now; what goes within a moment counts as gone."""
    deadline = time.monotonic() + _SETTLES_S
    while True:
        after = looked_at(cloud, edges)
        found = tuple(
            Stood(name, pids == after[name][0] and not gone(pids), round(memory, 1), round(after[name][1], 1))
            for name, (pids, memory) in before.items()
        )
        if all(one.good for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(_LOOK_S)


def gone(pids: tuple[int, ...]) -> bool:
    """Whether one of these processes has ended."""
    return len(processes_left(pids)) < len(pids)


def _engine(pid: int) -> tuple[int, ...]:
    try:
        return (engine_of(pid),)
    except ValueError:
        return ()


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    except PermissionError:  # daemons close their memory to their own user; the resident set is there for all
        return read_usage(pid).memory_mb
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024
