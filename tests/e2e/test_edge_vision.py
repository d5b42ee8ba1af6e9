"""The edge runs the target's vision side: the same tokens as the cloud alone, from features in place of the video."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair, running_pair, start_edge
from common.ask import AskRequest, Mode, Report
from common.errors import InputError, ModelError
from common.shipped import shipped_drafter, shipped_target
from common.types import SamplingParams
from edge.asking import ask_daemon
from tests.e2e.pairs import ask

FEATURE_BYTES = 8 * 17 * 256 * 4  # frames, features a frame, hidden size, float32


@pytest.mark.parametrize("sampling", [SamplingParams(), SamplingParams(2.0, seed=7)], ids=["greedy", "sampled"])
def test_the_answer_is_the_clouds(pair: Pair, clips: list[ClipQuestion], sampling: SamplingParams) -> None:
    for clip in clips[::4]:
        alone = ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY, sampling=sampling)
        vision = ask(pair.edge.address, clip, mode=Mode.EDGE_VISION, sampling=sampling)
        assert vision.token_ids == alone.token_ids
        assert vision.values["mode"] == "edge_vision"
        assert vision.values["drafted"] == 0
        assert not vision.notices


def test_what_goes_up_and_who_did_what(pair: Pair, clips: list[ClipQuestion]) -> None:
    values = ask(pair.edge.address, clips[0], mode=Mode.EDGE_VISION, max_tokens=4).values
    assert FEATURE_BYTES < values["uplink_bytes"]["video"] < FEATURE_BYTES * 1.02
    assert values["uplink_bytes"]["drafts"] == 0
    done = {(span["name"], span["side"]) for span in values["stages"]}
    assert done >= {("load", "edge"), ("video_decode", "edge"), ("vision_encode", "edge"), ("prefill", "cloud")}
    assert not {("video_decode", "cloud"), ("vision_encode", "cloud")} & done


def test_no_events_are_needed(pair: Pair, clips: list[ClipQuestion]) -> None:
    request = AskRequest(clips[0].question, video_path=str(clips[0].video), mode=Mode.EDGE_VISION, max_tokens=2)
    (report,) = [event for event in ask_daemon(pair.edge.address, request) if isinstance(event, Report)]
    assert report.values["tokens"] == 2


def test_a_damaged_clip_is_one_clear_error(pair: Pair, clips: list[ClipQuestion], tmp_path: Path) -> None:
    broken = bytearray(clips[0].video.read_bytes())
    start = broken.index(b"mdat") + 600
    broken[start : start + 400] = bytes(400)
    path = tmp_path / "broken.mp4"
    path.write_bytes(broken)
    with pytest.raises(InputError) as caught:
        ask(pair.edge.address, replace(clips[0], video=path), mode=Mode.EDGE_VISION)
    assert "\n" not in str(caught.value)
    assert ask(pair.edge.address, clips[0], mode=Mode.EDGE_VISION, max_tokens=3).values["tokens"] == 3


def test_features_of_another_target_are_refused(pair: Pair, clips: list[ClipQuestion], tmp_path: Path) -> None:
    folder = tmp_path / "target"
    shutil.copytree(shipped_target(), folder)
    shutil.copy(shipped_target().parent / "tokenizer.json", folder)
    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if "video_tower" in key and key.endswith("fc1.weight"))
    state[name] = state[name] + torch.ones_like(state[name]) / 64
    save_file(state, folder / "model.safetensors")
    edge = start_edge(pair.cloud.address, "--threads", "1", "--vision-model", str(folder))
    try:
        edge.wait_ready(90.0)
        with pytest.raises(ModelError, match="another model's"):
            ask(edge.address, clips[0], mode=Mode.EDGE_VISION)
        assert ask(edge.address, clips[0], max_tokens=3).values["tokens"] == 3
    finally:
        edge.stop()


def test_an_edge_without_a_vision_model_says_what_to_do(pair: Pair, clips: list[ClipQuestion]) -> None:
    edge = start_edge(pair.cloud.address, "--threads", "1", "--model", str(shipped_drafter()))
    try:
        edge.wait_ready(90.0)
        with pytest.raises(ModelError, match="--vision-model"):
            ask(edge.address, clips[0], mode=Mode.EDGE_VISION)
    finally:
        edge.stop()


def test_half_precision_and_padding_change_nothing_about_who_is_right(clips: list[ClipQuestion]) -> None:
    flags = ("--threads", "1", "--dtype", "bfloat16")
    profile = ("--replay", "7b-4bit-24gb")
    with running_pair(cloud_arguments=(*flags, *profile), edge_arguments=(*flags, *profile)) as both:
        alone = ask(both.edge.address, clips[1], mode=Mode.CLOUD_ONLY)
        vision = ask(both.edge.address, clips[1], mode=Mode.EDGE_VISION)
        assert vision.token_ids == alone.token_ids
        assert vision.values["replayed"] == "7b-4bit-24gb"
        encoding = [s["end_ms"] - s["start_ms"] for s in vision.values["stages"] if s["name"] == "vision_encode"]
        assert sum(encoding) >= 29
