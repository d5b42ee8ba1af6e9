"""`eventspec-edge watch`: stream a clip ahead, then ask about it, as often as one likes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer

from common.ask import WatchRequest, WatchState
from common.cli import say
from common.errors import EventSpecError, LinkError
from common.security import Reach
from edge.asking import watch_daemon
from edge.live_source import FOLLOW, SIMULATED


@dataclass
class Watching:
    """A watch whose states a thread takes in."""

    request: WatchRequest
    address: str
    show: Callable[[WatchState], None]
    state: WatchState | None = None
    error: EventSpecError | None = None
    reach: Reach = field(default_factory=Reach)
    wait_s: float = 0.0  # for a daemon that isn't there yet
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, wanted: Callable[[WatchState], bool]) -> WatchState:
        """The first state that is as wanted.

        Raises:
            EventSpecError: why there won't be one.
        """
        with self._changed:
            while self.error is None and not (self.state is not None and wanted(self.state)):
                self._changed.wait(0.2)  # a plain wait would keep Ctrl-C out
            if self.error is not None:
                raise self.error
            assert self.state is not None
            return self.state

    def listen(self, stop: threading.Event) -> None:
        """Take states in until told to stop."""
        try:
            states = watch_daemon(self.address, self.request, self.reach, wait_s=self.wait_s, tell=_tell_user)
            for state in states:
                if stop.is_set():
                    return
                self.show(state)
                self._tell(state, None)
            self._tell(self.state, LinkError("the edge daemon ended the watch"))
        except EventSpecError as error:
            self._tell(self.state, error)

    def _tell(self, state: WatchState | None, error: EventSpecError | None) -> None:
        with self._changed:
            self.state, self.error = state, error
            self._changed.notify_all()


@contextmanager
def watching(
    address: str,
    request: WatchRequest,
    show: Callable[[WatchState], None],
    reach: Reach | None = None,
    wait_s: float = 0.0,
) -> Iterator[Watching]:
    """Watch a clip while the block runs; a daemon that isn't there yet is waited for, for `wait_s` seconds."""
    watch, stop = Watching(request, address, show, reach=reach or Reach(), wait_s=wait_s), threading.Event()
    threading.Thread(target=watch.listen, args=(stop,), daemon=True).start()
    try:
        yield watch
    finally:
        stop.set()


def run_watch(
    address: str,
    request: WatchRequest,
    questions: Sequence[str],
    ask: Callable[[str, str], None],
    reach: Reach | None = None,
    wait_s: float = 0.0,
) -> None:
    """Watch; ask the given questions once the whole clip (or a live window) is up, or else every line of stdin.

    `ask` gets the watch's id and a question.
    """
    with watching(address, request, _progress(live=request.live), reach, wait_s) as watch:
        if questions:
            state = watch.wait_for(lambda s: s.complete)
            for question in questions:
                ask(state.watch, question)
            return
        state = watch.wait_for(lambda s: True)
        if sys.stdin.isatty():
            say("ask, one question a line; Ctrl-D ends the watch", err=True)
        for line in sys.stdin:
            if line.strip():
                ask(watch.wait_for(lambda s: True).watch, line.strip())


def _tell_user(text: str) -> None:
    say(f"· {text}", err=True)


def absolute(name: str, *, live: bool) -> str:
    """A file's name as the daemon, which runs elsewhere, can use it; other names of live sources as they are."""
    if live and ("://" in name or name == SIMULATED):
        return name
    if live and name.startswith(FOLLOW):
        return FOLLOW + str(Path(name.removeprefix(FOLLOW)).absolute())
    return str(Path(name).absolute())


def _progress(*, live: bool) -> Callable[[WatchState], None]:
    """Prints milestones, and on a terminal every step of the upload."""
    said: set[str] = set()
    up = "the first window is up" if live else "the video is up"

    def show(state: WatchState) -> None:
        if sys.stderr.isatty() and not state.complete:
            of = "" if live else f" of {state.frames}"
            typer.echo(f"\r· {state.frames_sent}{of} frames sent", nl=False, err=True)
        for name, reached in ((up, state.complete), ("the drafter has the events", state.drafter_ready)):
            if reached and name not in said:
                said.add(name)
                typer.echo(f"\r· {name} ({state.bytes_sent:,} bytes sent, {state.at_ms / 1e3:.2f} s)", err=True)

    return show
