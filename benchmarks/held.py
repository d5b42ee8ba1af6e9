"""How many sessions one cloud holds at the same time, and what memory each costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.asking import ask_clip
from benchmarks.clips import ClipQuestion, load_questions, spread
from benchmarks.faults.victims import engine_of, family
from benchmarks.processes import DaemonProcess, start_cloud
from common.ask import Mode
from common.errors import EventSpecError


@dataclass(frozen=True, slots=True)
class Held:
    """What was seen. Memory in bytes: the cloud's processes, resident; `rounds` after each round of answers."""

    sessions: int
    answers: int
    errors: int
    different: int
    most_at_once: int
    few_bytes: int
    start_bytes: int
    rounds_bytes: tuple[int, ...]
    seconds: float

    @property
    def bytes_a_session(self) -> float:
        """Taken at the start for each session that may come: keys and values, and their share of everything else."""
        return (self.start_bytes - self.few_bytes) / (self.sessions - 1)

    @property
    def growth(self) -> float:
        """Of the cloud's memory from the first round of answers to the last."""
        return self.rounds_bytes[-1] / self.rounds_bytes[0] - 1

    @property
    def good(self) -> bool:
        """All answered, all alike, all at once."""
        return self.errors == 0 and self.different == 0 and self.most_at_once >= self.sessions


def measure(sessions: int, rounds: int, max_tokens: int) -> Held:
    """Ask as many questions at once as there are sessions, a few times.

    Raises:
        EventSpecError: a daemon doesn't start.
    """
    few = _resident_when_idle(1)
    began = time.monotonic()
    with ExitStack() as stack:
        cloud = start_cloud("--threads", "1", "--sessions", str(sessions))
        stack.callback(cloud.stop)
        cloud.wait_ready(180)
        start = _resident(cloud)
        arguments = ["--listen", "127.0.0.1:0", "--cloud", cloud.address, "--threads", "1"]
        edge = DaemonProcess.start("edge", arguments, {"EVENTSPEC_EDGE_SESSIONS": str(sessions)})
        stack.callback(edge.stop)
        edge.wait_ready(180)
        asking = _Asking(edge.address, spread(load_questions(), sessions), sessions, max_tokens)
        after = []
        for _ in range(rounds):
            asking.round()
            after.append(_resident(cloud))
        return Held(
            sessions,
            asking.answers,
            asking.errors,
            asking.different,
            asking.most,
            few,
            start,
            tuple(after),
            time.monotonic() - began,
        )


class _Asking:
    """Many askers at once; each question's first answer is what its later ones must be."""

    def __init__(self, address: str, clips: Sequence[ClipQuestion], count: int, max_tokens: int) -> None:
        self.answers = self.errors = self.different = self.most = 0
        self._address, self._clips, self._count, self._max_tokens = address, clips, count, max_tokens
        self._known: dict[str, list[int]] = {}
        self._running = 0
        self._lock = threading.Lock()
        self._together = threading.Barrier(count)

    def round(self) -> None:
        with ThreadPoolExecutor(self._count) as pool:
            list(pool.map(self._ask, range(self._count)))

    def _ask(self, number: int) -> None:
        clip = self._clips[number % len(self._clips)]
        mode = Mode.CLOUD_ONLY if number % 2 else Mode.STREAM_TO_CLOUD
        self._together.wait(60)
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            report: dict[str, Any] | None = ask_clip(self._address, clip, mode, max_tokens=self._max_tokens)
        except EventSpecError:
            report = None
        with self._lock:
            self._running -= 1
            self.answers += 1
            if report is None or report["mode"] != mode.value:
                self.errors += 1
            else:
                known = self._known.setdefault(f"{clip.clip} {clip.question}", report["token_ids"])
                self.different += known != report["token_ids"]


def _resident_when_idle(sessions: int) -> int:
    cloud = start_cloud("--threads", "1", "--sessions", str(sessions))
    try:
        cloud.wait_ready(180)
        return _resident(cloud)
    finally:
        cloud.stop()


def _resident(cloud: DaemonProcess) -> int:
    """Bytes of a cloud's processes: what is theirs alone, and their shares of the rest (PSS)."""
    (front,) = [pid for pid in family(cloud.process.pid) if engine_of_or_none(pid)]
    return sum(_pss(pid) for pid in family(front))


def engine_of_or_none(pid: int) -> int | None:
    """The engine of a cloud's front process; None for other processes."""
    try:
        return engine_of(pid)
    except ValueError:
        return None


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
