"""Daemons at work: a cloud that is open to two principals, another that stands by, and many answers at a time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from benchmarks.clips import ClipQuestion
from benchmarks.faults.victims import PACED
from benchmarks.processes import DaemonProcess, start_cloud, start_edge
from common.access import Scope, TokenEntry, new_token, render_tokens
from common.ask import Answer, AskRequest, Mode, Notice, Report
from common.errors import EventSpecError
from common.shipped import shipped_drafter, shipped_target
from common.watched_file import write_private
from edge.asking import ask_daemon
from tests.e2e.pairs import talkative

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY, LONG = 8, 200  # tokens of 15 ms each: longer than the grace of a daemon that ends
READY_S = 150.0
_SCOPES = (Scope.SPECULATE, Scope.VIDEO, Scope.INFO)


@dataclass
class Heard:
    """What one asker got."""

    values: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    error: EventSpecError | None = None
    ended: float = 0.0


class Tokens:
    """The clouds' token file, and the file that each principal's edge shows its token from."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.toml"
        self._folder = folder
        self._entries: list[TokenEntry] = []

    def give(self, principal: str) -> Path:
        """A new token, put in place of the one that the principal's edge shows; earlier ones stay valid."""
        token, entry = new_token(principal, _SCOPES)
        self._entries.append(entry)
        self._write()
        write_private(self._folder / principal, token)
        return self._folder / principal

    def take_back(self, principal: str, *, keep: int = 0) -> None:
        """Revoke a principal's tokens, but for the newest `keep`."""
        theirs = [entry for entry in self._entries if entry.principal == principal]
        gone = theirs[: len(theirs) - keep]
        self._entries = [entry for entry in self._entries if entry not in gone]
        self._write()

    def _write(self) -> None:
        write_private(self.path, render_tokens(self._entries))


@dataclass
class Stage:
    """Two clouds; the edges of two principals that know both."""

    clouds: list[DaemonProcess]
    edges: list[DaemonProcess]
    tokens: Tokens
    start_edge: Callable[[int, str], DaemonProcess]


@contextmanager
def running(folder: Path) -> Iterator[Stage]:
    """All of it; nothing is left."""
    (folder / "paced.toml").write_text(PACED)
    target, drafter = talkative(shipped_target(), folder / "target"), talkative(shipped_drafter(), folder / "drafter")
    tokens = Tokens(folder)
    shown = [tokens.give(f"edge-{number}") for number in range(2)]
    arguments = ["--model", str(target), "--threads", "1", "--tokens", str(tokens.path), "--sessions", "20"]
    arguments += ["--sessions-per-client", "10", "--max-draft", "1", "--replay", str(folder / "paced.toml")]
    arguments += ["--resume-ttl-s", "10", "--grace-s", "0.5"]
    stage = Stage([], [], tokens, lambda number, listen: _edge(folder, drafter, shown, stage, number, listen))
    try:
        stage.clouds += [start_cloud(*arguments) for _ in range(2)]
        for cloud in stage.clouds:
            cloud.wait_ready(READY_S)
        stage.edges += [stage.start_edge(number, "127.0.0.1:0") for number in range(2)]
        for edge in stage.edges:
            edge.wait_ready(READY_S)
        yield stage
    finally:
        for daemon in (*stage.edges, *stage.clouds):
            daemon.kill()


def _edge(folder: Path, drafter: Path, shown: list[Path], stage: Stage, number: int, listen: str) -> DaemonProcess:
    clouds = ",".join(cloud.address for cloud in stage.clouds)
    arguments = ["--model", str(drafter), "--threads", "1", "--give-up-after-s", "60"]
    arguments += ["--token-file", str(shown[number]), "--spool", str(folder / f"spool-{number}")]
    return start_edge(clouds, *arguments, "--listen", listen)


class Askers:
    """Many questions at the same time; `begun` is called as soon as each has its first tokens."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(3 * MANY)
        self._begun = Semaphore(0)
        self._asked: list[Future[Heard]] = []

    def ask(self, edge: DaemonProcess, clips: list[ClipQuestion], *, count: int, reconnect_s: float = 0.0) -> None:
        """Ask an edge `count` questions, about one clip after the other."""
        for number in range(count):
            clip = clips[number % len(clips)]
            self._asked.append(self._pool.submit(self._one, edge.address, clip, reconnect_s))

    def all_begun(self, count: int) -> None:
        """Until so many have begun."""
        assert all(self._begun.acquire(timeout=90) for _ in range(count))

    def heard(self) -> list[Heard]:
        """What all of them got, in the order in which they were asked."""
        try:
            return [asked.result(timeout=150) for asked in self._asked]
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, address: str, clip: ClipQuestion, reconnect_s: float) -> Heard:
        heard, counted = Heard(), False
        request = AskRequest(
            clip.question,
            str(clip.events),
            str(clip.video),
            Mode.STREAM_TO_CLOUD,
            max_tokens=LONG,
            answer_id=uuid.uuid4().hex,
            draft_length=2,
        )
        try:
            for event in ask_daemon(address, request, reconnect_s=reconnect_s):
                if isinstance(event, Report):
                    heard.values = event.values
                elif isinstance(event, Notice):
                    heard.notices.append(event.text)
                elif isinstance(event, Answer) and event.committed_text and not counted:
                    counted = True
                    self._begun.release()
        except EventSpecError as error:
            heard.error = error
        heard.ended = time.monotonic()
        return heard
