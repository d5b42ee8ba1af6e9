"""Delivery traces in Mahimahi's format: one line an opportunity to deliver 1500 bytes, in whole milliseconds.

Lines are the time since the trace's beginning, never falling; equal lines are several opportunities in one millisecond.
The last line's time is the trace's period: after it the trace begins anew. Source: Mahimahi (USENIX ATC 2015), and
the cellular traces of Winstein et al. (NSDI 2013).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from common.errors import SettingsError

OPPORTUNITY_BYTES = 1500
_MOST_BYTES = 256 << 20
_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Trace:
    """Opportunities in milliseconds since the beginning; `period_ms` is the last one."""

    times_ms: tuple[int, ...]

    @property
    def period_ms(self) -> int:
        """After which the trace begins anew."""
        return self.times_ms[-1]

    @property
    def mean_mbps(self) -> float:
        """What the trace delivers on average, if nothing of it is left unused."""
        return len(self.times_ms) * OPPORTUNITY_BYTES * 8 / self.period_ms / 1e3


def parse_trace(text: str, name: str) -> Trace:
    """A trace from its lines; empty lines and lines that begin with # are passed over.

    Raises:
        SettingsError: a line isn't a time, times fall, or the trace is empty or has no length.
    """
    times: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not _NUMBER.fullmatch(line):
            raise SettingsError(f"{name}, line {number}: {line[:40]!r} isn't a time in whole milliseconds")
        time = int(line)
        if times and time < times[-1]:
            raise SettingsError(f"{name}, line {number}: {time} comes after {times[-1]}; times must not fall")
        times.append(time)
    if not times or times[-1] == 0:
        raise SettingsError(f"{name} is no trace: it needs at least one line with a time above 0 (milliseconds)")
    return Trace(tuple(times))


def load_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        SettingsError: the file can't be read, is too large, or isn't a trace.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SettingsError(f"{path} is over {_MOST_BYTES >> 20} MiB: too long for a trace")
        return parse_trace(path.read_text(encoding="ascii"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read as a trace of delivery opportunities: {error}") from error
