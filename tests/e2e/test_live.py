"""Live streams against a real cloud: every answer is the target's on exactly the frames that the reply names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import torch

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair
from cloud.target import VideoLlavaTarget
from common.ask import AskRequest, Mode, Report, WatchRequest
from common.shipped import shipped_target
from common.types import Pace, SamplingParams
from common.video_decoding import VideoDecoder
from common.video_sampling import sampled_indices
from edge.asking import ask_daemon, watch_daemon
from edge.transcoding import SampledClip
from edge.video import open_clip
from tests.cloud.driver import Case, answer_all, generate, make_engine
from tests.e2e.live import LiveEdge, live_edge
from tests.e2e.pairs import engine_of

SAMPLED = SamplingParams(1.1, top_k=30, top_p=0.95, seed=5)
WINDOW_US = 1_600_000
QUESTIONS = ("What moves?", "How many things are there?", "Describe the scene.")


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    torch.set_num_threads(1)
    return VideoLlavaTarget.from_pretrained(shipped_target())


def request(clip: ClipQuestion, codec: str = "h264", **more: Any) -> WatchRequest:
    asked = {"live": True, "window_us": WINDOW_US, "loop": True, "video_codec": codec, "events_path": str(clip.events)}
    return WatchRequest(str(clip.video), **{**asked, **more})


def alone(target: VideoLlavaTarget, edge: LiveEdge, values: dict[str, Any], sampling: SamplingParams) -> list[int]:
    """What the target alone answers on the frames that the report names, as they were sent."""
    pictures = edge.link.pictures([number for number, _ in values["frames"]])
    case = Case(values["question"], pictures, max_tokens=64, sampling=sampling)
    if sampling.greedy:
        return generate(target, case)
    (answered,) = answer_all(make_engine(target), target, [case])
    return answered.tokens


def looks_right(values: dict[str, Any]) -> None:
    """Eight frames, in order, a stride from one to the next, the last one hardly a stride and a bit old."""
    numbers, times = zip(*values["frames"], strict=True)
    assert len(numbers) == 8 and list(numbers) == sorted(numbers)
    assert times[-1] - times[0] <= WINDOW_US / 1e6


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
async def test_answers_are_the_targets_on_the_frames_that_they_name(
    pair: Pair, clips: list[ClipQuestion], target: VideoLlavaTarget, codec: str
) -> None:
    async with live_edge(pair.cloud.address, request(clips[0], codec)) as edge:
        await edge.until(lambda state: state.complete and state.drafter_ready)
        windows = set()
        for turn, question in enumerate([*QUESTIONS, *QUESTIONS]):
            sampling = SAMPLED if turn % 2 else SamplingParams()
            mode = Mode.CLOUD_ONLY if turn == 2 else Mode.STREAM_TO_CLOUD
            values = await edge.ask(question, mode, sampling)
            looks_right(values)
            assert values["frames_age_ms"] < 5_000
            assert values["token_ids"] == alone(target, edge, values, sampling)
            assert values["mode"] == mode.value and edge.link.videos == 0
            windows.add(tuple(number for number, _ in values["frames"]))
            await asyncio.sleep(0.25)
        assert len(windows) > 1  # the window rolls
        # the controller may find that none pays, and an eager cloud may be over before they come
        drafted = await edge.ask(QUESTIONS[2], draft_length=4, pace=Pace.PATIENT, patience_ms=5_000)
        assert drafted["drafted"] > 0


async def test_two_questions_at_once(pair: Pair, clips: list[ClipQuestion], target: VideoLlavaTarget) -> None:
    async with live_edge(pair.cloud.address, request(clips[1])) as edge:
        await edge.until(lambda state: state.complete and state.drafter_ready)
        both = await asyncio.gather(*(edge.ask(question) for question in QUESTIONS[:2]))
        for values in both:
            assert values["token_ids"] == alone(target, edge, values, SamplingParams())
        assert edge.link.videos == 0


async def test_a_question_before_the_window_is_full(
    pair: Pair, clips: list[ClipQuestion], target: VideoLlavaTarget
) -> None:
    async with live_edge(pair.cloud.address, request(clips[0], events_path="", window_us=8_000_000)) as edge:
        await edge.until(lambda state: state.frames_sent >= 1)
        values = await edge.ask(QUESTIONS[0], Mode.CLOUD_ONLY)
        assert len(values["frames"]) == 8 and len({number for number, _ in values["frames"]}) < 8
        assert values["token_ids"] == alone(target, edge, values, SamplingParams())


async def test_a_cloud_that_died_goes_on_with_the_same_frames(
    pair: Pair, clips: list[ClipQuestion], target: VideoLlavaTarget
) -> None:
    async with live_edge(pair.cloud.address, request(clips[0]), give_up_after_s=90.0) as edge:
        await edge.until(lambda state: state.complete and state.drafter_ready)
        os.kill(engine_of(pair.cloud.process.pid), signal.SIGKILL)  # the first attempts fail, then it knows nothing
        values = await edge.ask(QUESTIONS[0])
        assert values["mode"] == "stream_to_cloud"
        assert values["token_ids"] == alone(target, edge, values, SamplingParams())
        sent = edge.states[-1].frames_sent
        await edge.until(lambda state: state.frames_sent > sent + 8)  # the stream itself came back too
        videos = edge.link.videos
        again = await edge.ask(QUESTIONS[1])
        assert again["token_ids"] == alone(target, edge, again, SamplingParams())
        assert edge.link.videos == videos


async def test_a_file_that_ends_can_be_asked_about_still(
    pair: Pair, clips: list[ClipQuestion], target: VideoLlavaTarget
) -> None:
    async with live_edge(pair.cloud.address, request(clips[2], loop=False, events_path="simulated")) as edge:
        await edge.until(lambda state: state.frames_sent == 10 and state.drafter_ready)
        first, second = await edge.ask(QUESTIONS[0]), await edge.ask(QUESTIONS[1])
        assert first["frames"] == second["frames"]
        assert first["token_ids"] == alone(target, edge, first, SamplingParams())


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_a_clip_whose_sampled_frames_alone_go_up(
    pair: Pair, clips: list[ClipQuestion], target: VideoLlavaTarget, codec: str
) -> None:
    clip = clips[0]
    sampled = SampledClip(open_clip(clip.video), codec)
    decoder = VideoDecoder(sampled.header, count=8)
    packets = [packet for _, packet in sampled.recorded()]
    pictures = [one for packet in packets for one in decoder.push(packet)] + decoder.finish()
    truth = generate(target, Case(clip.question, [picture for _, picture in pictures], max_tokens=64))
    asked = AskRequest(clip.question, str(clip.events), str(clip.video), video_codec=codec)
    reports = [event.values for event in ask_daemon(pair.edge.address, asked) if isinstance(event, Report)]
    request = WatchRequest(str(clip.video), str(clip.events), video_codec=codec)
    with contextlib.closing(watch_daemon(pair.edge.address, request)) as states:
        state = next(state for state in states if state.complete and state.drafter_ready)
        ask = AskRequest(clip.question, watch=state.watch)
        reports += [event.values for event in ask_daemon(pair.edge.address, ask) if isinstance(event, Report)]
    assert state.frames == 8
    for values in reports:
        assert values["token_ids"] == truth
        assert [number for number, _ in values["frames"]] == sampled_indices(32, 8)


def test_the_command(pair: Pair, clips: list[ClipQuestion]) -> None:
    command = [sys.executable, "-m", "edge", "watch", "--edge", pair.edge.address, "--json", "--live", "--loop"]
    command += ["--video", str(clips[0].video), "--events", str(clips[0].events), "--window-s", "1"]
    done = subprocess.run([*command, *QUESTIONS[:2]], capture_output=True, text=True, timeout=60, check=True)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [len(report["frames"]) for report in reports] == [8, 8]
    assert "the first window is up" in done.stderr
    wrong = subprocess.run([*command, "--video", "gopher://x"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode != 0 and "can't be watched" in wrong.stderr
