"""Who asks while the edge daemon loads, or is gone, waits for it and is told so; odd things in a spool stop nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import DaemonProcess
from common.ask import AskEvent, AskRequest, Mode, Notice, Report, WatchRequest
from common.errors import LinkError
from edge.asking import ask_daemon, watch_daemon

READY = 150.0  # seconds that a daemon may take to load on a busy machine
ANSWER_ID = "0123456789abcdef"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool in which somebody has been."""
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    (folder / "a.journal").symlink_to(tmp_path / "nowhere")
    (folder / "b.journal").mkdir()
    os.mkfifo(folder / "c.journal", 0o600)
    (folder / f"{ANSWER_ID}.journal").symlink_to(tmp_path / "nowhere")
    return folder


@pytest.fixture
def begin(tmp_path: Path, spool: Path) -> Iterator[Callable[[], DaemonProcess]]:
    """Starts an edge daemon without a cloud, always at the same address."""
    started: list[DaemonProcess] = []

    def edge() -> DaemonProcess:
        where = ["--listen", f"unix:{tmp_path}/edge", "--cloud", "127.0.0.1:1"]
        started.append(DaemonProcess.start("edge", [*where, "--spool", str(spool), "--threads", "1"]))
        return started[-1]

    yield edge
    for daemon in started:
        daemon.stop()


class Asker(threading.Thread):
    """Takes all events of a call in."""

    def __init__(self, call: Callable[[], Iterator[Any]]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.events: list[Any] = []
        self.error: Exception | None = None
        self.begun = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for event in self._call():
                self.events.append(event)
                self.begun.set()
        except Exception as error:
            self.error = error
        self.begun.set()

    def told(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]


def question(clip: ClipQuestion, answer_id: str = "") -> AskRequest:
    return AskRequest(
        clip.question, str(clip.events), str(clip.video), mode=Mode.EDGE_ONLY, max_tokens=8, answer_id=answer_id
    )


def test_asks_and_watches_that_begin_while_the_edge_restarts(
    begin: Callable[[], DaemonProcess], clips: list[ClipQuestion], tmp_path: Path
) -> None:
    clip, address = clips[0], f"unix:{tmp_path}/edge"

    def asked(answer_id: str = "") -> Iterator[AskEvent]:
        return ask_daemon(address, question(clip, answer_id), reconnect_s=READY)

    edge = begin()
    edge.wait_ready(READY)
    lines = [line for line in edge.log if "is left alone" in line]
    assert len(lines) == 4
    assert not any("Traceback" in line for line in edge.log)
    (undisturbed,) = [event for event in asked() if isinstance(event, Report)]
    edge.kill()

    told: list[str] = []
    gone = [Asker(asked), Asker(lambda: asked(ANSWER_ID))]
    watch = WatchRequest(str(clip.video), str(clip.events))
    watcher = Asker(lambda: watch_daemon(address, watch, wait_s=READY, tell=told.append))
    for asker in gone:
        assert asker.begun.wait(30.0)
        assert [text for text in asker.told() if "waiting for one" in text] == asker.told() != []
    edge = begin()  # it loads now
    gone.append(Asker(asked))
    edge.wait_ready(READY)
    for asker in gone:
        asker.join(READY)
        assert asker.error is None
        report = asker.events[-1]
        assert isinstance(report, Report)
        assert report.values["token_ids"] == undisturbed.values["token_ids"]
    assert watcher.begun.wait(READY)
    assert watcher.error is None
    assert len(told) == 1 and "waiting for one" in told[0]
    edge.kill()
    watcher.join(30.0)
    assert isinstance(watcher.error, LinkError)  # a watch that was lost isn't begun again
