"""Clips that are streamed ahead of their questions, through real daemons: the same answers, sooner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair, start_edge
from common.ask import AskRequest, Mode, Report, WatchRequest, WatchState
from common.errors import InputError
from common.types import SamplingParams
from edge.asking import ask_daemon, watch_daemon
from tests.e2e.pairs import Asked, ask, engine_of

SAMPLED = SamplingParams(1.1, top_k=30, top_p=0.95, seed=5)


@contextmanager
def watched(pair: Pair, clip: ClipQuestion, realtime: bool = False) -> Iterator[WatchState]:
    """The clip, watched until the video is up and the drafter ready."""
    request = WatchRequest(str(clip.video), str(clip.events), realtime)
    states = watch_daemon(pair.edge.address, request)
    try:
        yield next(state for state in states if state.complete and state.drafter_ready)
    finally:
        states.close()


def ask_about(
    pair: Pair, watch: str, question: str, mode: Mode = Mode.STREAM_TO_CLOUD, sampling: SamplingParams | None = None
) -> Asked:
    asked = Asked()
    request = AskRequest(question, mode=mode, sampling=sampling or SamplingParams(), watch=watch)
    for event in ask_daemon(pair.edge.address, request):
        if isinstance(event, Report):
            asked.values = event.values
    return asked


def ask_until_refused(pair: Pair, watch: str) -> None:
    """A watch is over soon after its watcher went, not at once."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ask_about(pair, watch, "what?", Mode.CLOUD_ONLY)


@pytest.mark.parametrize("sampling", [SamplingParams(), SAMPLED], ids=["greedy", "sampled"])
def test_every_question_gets_the_answer_that_it_would_have_got(
    pair: Pair, clips: list[ClipQuestion], sampling: SamplingParams
) -> None:
    clip = clips[0]
    questions = [c.question for c in clips if c.clip == clip.clip]
    questions = [*questions, "How many things are there?", questions[0]]
    with watched(pair, clip) as state:
        for mode in (Mode.STREAM_TO_CLOUD, Mode.CLOUD_ONLY):
            for question in questions:
                plain = ClipQuestion(clip.clip, clip.events, clip.video, question)
                truth = ask(pair.edge.address, plain, mode=Mode.CLOUD_ONLY, sampling=sampling)
                found = ask_about(pair, state.watch, question, mode, sampling)
                assert found.token_ids == truth.token_ids
                assert found.values["ahead"]["complete"]


def test_only_the_question_is_left_to_do(pair: Pair, clips: list[ClipQuestion]) -> None:
    with watched(pair, clips[0]) as state:
        first = ask_about(pair, state.watch, clips[0].question).values
        second = ask_about(pair, state.watch, clips[0].question).values
    assert first["uplink_bytes"]["video"] == state.bytes_sent
    assert second["uplink_bytes"]["video"] == 0
    names = {(s["name"], s["side"]) for s in second["stages"]}
    assert ("prefill", "cloud") in names and ("vision_encode", "cloud") not in names
    assert ("drafter_prefill", "edge") in names and ("drafter_vision", "edge") not in names


def test_in_real_time_the_video_takes_as_long_as_it_lasts(pair: Pair, clips: list[ClipQuestion]) -> None:
    with watched(pair, clips[0], realtime=True) as state:
        assert state.at_ms > 1_000
        assert state.frames_sent == state.frames


def test_a_cloud_that_lost_the_clip_is_sent_the_video_again(pair: Pair, clips: list[ClipQuestion]) -> None:
    clip = clips[1]
    truth = ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY).token_ids
    edge = start_edge(pair.cloud.address, "--threads", "1", "--give-up-after-s", "90")
    try:
        edge.wait_ready(60.0)
        patient = Pair(edge, pair.cloud)
        with watched(patient, clip) as state:
            os.kill(engine_of(pair.cloud.process.pid), signal.SIGKILL)
            found = ask_about(patient, state.watch, clip.question)
    finally:
        edge.stop()
    assert found.values["mode"] == "stream_to_cloud"
    assert found.token_ids == truth
    assert found.values["uplink_bytes"]["video"] > state.bytes_sent


def test_what_a_user_may_get_wrong(pair: Pair, clips: list[ClipQuestion]) -> None:
    with pytest.raises(InputError, match="no clip is watched"):
        ask_about(pair, "nobody", "what?")
    with pytest.raises(InputError, match="no video file"):
        next(watch_daemon(pair.edge.address, WatchRequest("/nowhere.mp4")))
    with watched(pair, clips[0]) as state:
        with pytest.raises(InputError, match="edge_vision"):
            ask_about(pair, state.watch, "what?", Mode.EDGE_VISION)
        with pytest.raises(InputError, match="empty"):
            ask_about(pair, state.watch, " ")
    with pytest.raises(InputError, match="no clip is watched"):
        ask_until_refused(pair, state.watch)


def test_the_command(pair: Pair, clips: list[ClipQuestion]) -> None:
    clip = clips[0]
    command = [sys.executable, "-m", "edge", "watch", "--edge", pair.edge.address, "--json"]
    command += ["--events", str(clip.events), "--video", str(clip.video)]
    given = subprocess.run([*command, clip.question], capture_output=True, text=True, timeout=60, check=True)
    typed = subprocess.run(command, input=f"{clip.question}\n", capture_output=True, text=True, timeout=60, check=True)
    truth = ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY).token_ids
    assert [json.loads(done.stdout)["token_ids"] for done in (given, typed)] == [truth, truth]
    assert "the video is up" in given.stderr
