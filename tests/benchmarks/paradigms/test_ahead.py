"""When a question about a clip that is being recorded goes out, and what its report holds."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.paradigms import ahead
from benchmarks.paradigms.ahead import ask_when_recorded, length_s
from common.ask import Mode, WatchRequest, WatchState
from common.errors import LinkError
from edge.video import open_clip

CLIP = load_questions()[0]


class FakeDaemon:
    """A daemon whose watch began 5 ms before it was heard of; `states` follow the first one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, states: list[WatchState]) -> None:
        self.now = 100.0
        self.asked_at = 0.0
        self.ended = False
        self.requests: list[WatchRequest] = []
        self._states = states
        monkeypatch.setattr(ahead, "watch_daemon", self._watch)
        monkeypatch.setattr(ahead, "ask_clip", self._ask)

    def _watch(self, address: str, request: WatchRequest) -> Generator[WatchState, None, None]:
        self.requests.append(request)
        try:
            yield state(at_ms=5.0)
            yield from self._states
        finally:
            self.ended = True

    def _ask(self, address: str, clip: ClipQuestion, mode: Mode, **how: Any) -> dict[str, Any]:
        assert how["watch"] == "w" and not self.ended
        self.asked_at = self.now
        return {"uplink_bytes": {"video": 10, "drafts": 3, "control": 4}, "total_ms": 9.0}

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def ask(self, mode: Mode = Mode.STREAM_TO_CLOUD) -> dict[str, Any]:
        return ask_when_recorded("nowhere", CLIP, mode, clock=lambda: self.now, sleep=self.sleep, max_tokens=4)


def state(at_ms: float = 0.0, *, complete: bool = False, size: int = 0) -> WatchState:
    return WatchState("w", 0, 16, size, complete, False, at_ms)


def test_the_question_comes_when_the_last_picture_has_been_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = FakeDaemon(monkeypatch, [state(complete=False), state(complete=True, size=5_000)])
    report = daemon.ask()
    assert daemon.asked_at == pytest.approx(100.0 - 0.005 + length_s(CLIP.video))
    assert daemon.requests[0].realtime and daemon.requests[0].events_path
    assert report["uplink_bytes"] == {"video": 5_000, "drafts": 3, "control": 4}
    assert daemon.ended


def test_who_doesnt_draft_doesnt_look_at_events(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = FakeDaemon(monkeypatch, [state(complete=True)])
    daemon.ask(Mode.CLOUD_ONLY)
    assert daemon.requests[0].events_path == ""


def test_a_watch_that_ends_early_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = FakeDaemon(monkeypatch, [state()])
    with pytest.raises(LinkError, match="before the video was up"):
        daemon.ask()
    assert daemon.ended


def test_a_clip_lasts_until_its_last_picture_has_been_taken() -> None:
    moments = [taken for taken, _ in open_clip(CLIP.video).recorded()]
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    assert length_s(CLIP.video) == moments[-1] == pytest.approx(len(moments) * gaps[-1])
    assert 1.0 < length_s(CLIP.video) < 3.0
