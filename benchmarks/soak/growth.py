"""What processes use over time, and whether it grows. Pure, but for `read_usage`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

_PAGE_MB = 4096 / 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process uses. `held`: sessions (of an edge: answers), where it is known."""

    memory_mb: float
    descriptors: int
    threads: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes by name at a time, in seconds since the beginning."""

    at: float
    usages: dict[str, Usage]


@dataclass(frozen=True, slots=True)
class Growth:
    """One quantity of one process: its median in an early and in the last part of the run."""

    process: str
    what: str
    before: float
    after: float
    allowed: float

    @property
    def grew(self) -> bool:
        """Whether it is more than what is allowed."""
        return self.after - self.before > self.allowed


def read_usage(pid: int, held: int = 0) -> Usage:
    """What a process uses now. Raises FileNotFoundError or ProcessLookupError if it is gone."""
    proc = Path(f"/proc/{pid}")
    resident = int((proc / "statm").read_text().split()[1])
    threads = int((proc / "stat").read_text().rpartition(")")[2].split()[17])
    return Usage(round(resident * _PAGE_MB, 2), len(list((proc / "fd").iterdir())), threads, held)


def growths(samples: Sequence[Sample], *, warm_up: float = 0.25) -> list[Growth]:
    """Every quantity of every process: the quarter after the warm-up against the last quarter.

    Memory may grow by a twentieth, at least 16 MB: allocators keep what busy moments took. Descriptors and threads may
    differ by what a moment's connections need.
    """
    if not samples:
        return []
    end = samples[-1].at
    early = [s for s in samples if warm_up * end <= s.at < (warm_up + 0.25) * end]
    late = [s for s in samples if s.at >= 0.75 * end]
    found = []
    for name in sorted({name for sample in samples for name in sample.usages}):
        first = [s.usages[name] for s in early if name in s.usages]
        last = [s.usages[name] for s in late if name in s.usages]
        if not first or not last:
            continue
        for what, allowed in (("memory_mb", 16.0), ("descriptors", 8.0), ("threads", 4.0)):
            before = median(float(getattr(u, what)) for u in first)
            after = median(float(getattr(u, what)) for u in last)
            room = max(allowed, before / 20) if what == "memory_mb" else allowed
            found.append(Growth(name, what, before, after, room))
    return found


def as_dict(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """For the JSON."""
    return [{"at": s.at, "usages": {name: asdict(usage) for name, usage in s.usages.items()}} for s in samples]
