"""The shipped pair as two daemons: answers, figures, several askers at once, and what a user may get wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import DaemonProcess, Pair, start_cloud, start_edge
from common import codec
from common.ask import AskRequest, Mode
from common.errors import EventSpecError, InputError, LinkError, ModelError
from common.shipped import shipped_drafter, shipped_target
from common.types import Pace, SamplingParams
from edge.asking import ask_daemon, daemon_status
from tests.e2e.pairs import ask, talkative

ALWAYS_THERE = {
    "answer",
    "token_ids",
    "finish_reason",
    "ttft_ms",
    "total_ms",
    "tokens",
    "drafted",
    "accepted",
    "verifications",
    "rollbacks",
    "uplink_bytes",
    "downlink_bytes",
    "mode",
}
SAMPLED = SamplingParams(1.2, top_k=40, top_p=0.95, seed=11)


def run_ask(pair: Pair, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`eventspec-edge ask`, as a user types it."""
    command = [sys.executable, "-m", "edge", "ask", *arguments, "--edge", pair.edge.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_ask_json(pair: Pair, clips: list[ClipQuestion]) -> None:
    clip = clips[0]
    done = run_ask(pair, clip.question, "--events", str(clip.events), "--video", str(clip.video), "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert set(values) >= ALWAYS_THERE
    assert values["mode"] == "stream_to_cloud"
    assert values["finish_reason"] == "stop"
    assert values["answer"]
    assert values["tokens"] == len(values["token_ids"]) > 1
    assert 0 < values["ttft_ms"] <= values["total_ms"]
    assert 0 <= values["accepted"] <= values["drafted"]
    assert set(values["uplink_bytes"]) == {"video", "drafts", "control"}
    assert values["uplink_bytes"]["video"] > clip.video.stat().st_size / 2
    assert values["uplink_bytes"]["drafts"] > 0
    assert values["downlink_bytes"] > 0
    assert {(s["name"], s["side"]) for s in values["stages"]} >= {("prefill", "cloud"), ("drafter_prefill", "edge")}


def test_ask_in_a_pipe_prints_the_answer_and_nothing_else(pair: Pair, clips: list[ClipQuestion]) -> None:
    clip = clips[0]
    expected = ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY).values["answer"]
    done = run_ask(pair, clip.question, "--events", str(clip.events), "--video", str(clip.video))
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected + "\n"
    assert "stream_to_cloud" in done.stderr


@pytest.mark.parametrize("sampling", [SamplingParams(), SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("pace", list(Pace))
def test_the_answer_is_the_clouds(pair: Pair, clips: list[ClipQuestion], sampling: SamplingParams, pace: Pace) -> None:
    for clip in clips[::5]:
        alone = ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY, sampling=sampling)
        assert alone.values["drafted"] == 0
        together = ask(pair.edge.address, clip, sampling=sampling, pace=pace)
        assert together.token_ids == alone.token_ids
        assert together.values["finish_reason"] == alone.values["finish_reason"]
        assert together.values["mode"] == "stream_to_cloud"
        assert not together.notices


@pytest.mark.parametrize("sampling", [SamplingParams(), SAMPLED], ids=["greedy", "sampled"])
def test_branches_change_no_answer(pair: Pair, clips: list[ClipQuestion], sampling: SamplingParams) -> None:
    made = 0
    for clip in clips[::5]:
        alone = ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY, sampling=sampling)
        without = ask(pair.edge.address, clip, sampling=sampling, pace=Pace.PATIENT).values  # a drafter on the CPU
        assert (without["branches"], without["branch_hits"] + without["branch_misses"]) == (0, 0)
        together = ask(pair.edge.address, clip, sampling=sampling, pace=Pace.PATIENT, branches=3)
        assert together.token_ids == alone.token_ids
        values = together.values
        assert values["branch_hits"] <= values["branches"]
        made += values["branches"]
    assert made > 0
    with pytest.raises(EventSpecError, match="branches must be between 0 and 16"):
        ask(pair.edge.address, clips[0], branches=17)


def test_patient_answers_take_fewer_target_passes(pair: Pair, clips: list[ClipQuestion]) -> None:
    passes = tokens = 0
    for clip in clips[::4]:
        values = ask(pair.edge.address, clip, pace=Pace.PATIENT, draft_length=4).values
        passes += values["target_passes"]
        tokens += values["tokens"]
        assert values["accepted"] > 0
    assert passes < tokens


def test_sampling_is_seeded(pair: Pair, clips: list[ClipQuestion]) -> None:
    def answer(seed: int) -> list[int]:
        return ask(pair.edge.address, clips[2], sampling=SamplingParams(4.0, seed=seed)).token_ids

    assert answer(3) == answer(3)
    assert len({tuple(answer(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("limit", [1, 5])
def test_the_length_limit(pair: Pair, clips: list[ClipQuestion], limit: int) -> None:
    whole = ask(pair.edge.address, clips[2], mode=Mode.CLOUD_ONLY)
    cut = ask(pair.edge.address, clips[2], max_tokens=limit)
    assert cut.token_ids == whole.token_ids[:limit]
    assert cut.values["finish_reason"] == "length"


def test_edge_only(pair: Pair, clips: list[ClipQuestion]) -> None:
    asked = ask(pair.edge.address, clips[0], mode=Mode.EDGE_ONLY)
    assert asked.values["mode"] == "edge_only"
    assert asked.values["answer"]
    assert asked.values["uplink_bytes"] == {"video": 0, "drafts": 0, "control": 0}


def test_askers_at_once(pair: Pair, clips: list[ClipQuestion]) -> None:
    chosen = clips[:6]
    alone = [ask(pair.edge.address, clip, mode=Mode.CLOUD_ONLY).token_ids for clip in chosen]
    with ThreadPoolExecutor(6) as pool:
        paces = [Pace.EAGER, Pace.PATIENT] * 3
        asked = list(pool.map(lambda clip, pace: ask(pair.edge.address, clip, pace=pace), chosen, paces))
    assert [a.token_ids for a in asked] == alone
    assert daemon_status(pair.edge.address).sessions == 0


def test_info_and_status(pair: Pair) -> None:
    command = [sys.executable, "-m", "cloud", "info", pair.cloud.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    info = json.loads(done.stdout)
    assert info["wire_version"] == 1
    assert info["max_sessions"] == 8
    status = daemon_status(pair.edge.address)
    assert status.cloud == pair.cloud.address
    assert status.sessions == 0


# ---------------------------------------------------------------------------------------------------- bad input


def one_line(error: EventSpecError) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory, clips: list[ClipQuestion]) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    good_events, good_video = clips[0].events.read_bytes(), clips[0].video.read_bytes()
    (folder / "truncated.h5").write_bytes(good_events[: len(good_events) // 2])
    (folder / "junk.h5").write_bytes(b"nothing of the kind" * 50)
    (folder / "junk.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + b"x" * 100)
    (folder / "empty.npy").write_bytes(b"")
    (folder / "truncated.mp4").write_bytes(good_video[: len(good_video) * 2 // 3])
    (folder / "junk.mp4").write_bytes(b"\x00" * 5_000)
    (folder / "empty.mp4").write_bytes(b"")
    events = {name: np.zeros(3, dtype=dtype) for name, dtype in (("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1"))}
    np.save(folder / "pickled.npy", np.array(events, dtype=object), allow_pickle=True)
    return folder


BAD: dict[str, dict[str, Any]] = {
    "no question": {"question": "  "},
    "no events": {"events_path": ""},
    "no video": {"video_path": ""},
    "no tokens": {"max_tokens": 0},
    "a question over the limit": {"question": "what? " * 2_000},
    "too much patience": {"patience_ms": 3_600_000},
    "events that aren't there": {"events_path": "{bad}/nowhere.h5"},
    "events cut short": {"events_path": "{bad}/truncated.h5"},
    "no events at all": {"events_path": "{bad}/junk.h5"},
    "a broken npy": {"events_path": "{bad}/junk.npy"},
    "an empty npy": {"events_path": "{bad}/empty.npy"},
    "a folder for events": {"events_path": "{bad}"},
    "a video for events": {"events_path": "{bad}/truncated.mp4"},
    "an empty window": {"window_start_us": 10**12},
    "a video that isn't there": {"video_path": "{bad}/nowhere.mp4"},
    "a video cut short": {"video_path": "{bad}/truncated.mp4"},
    "no video in it": {"video_path": "{bad}/junk.mp4"},
    "an empty video": {"video_path": "{bad}/empty.mp4"},
    "a folder for a video": {"video_path": "{bad}"},
    "events for a video": {"video_path": "{bad}/junk.h5"},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error_and_nothing_else(
    pair: Pair, clips: list[ClipQuestion], bad_files: Path, name: str
) -> None:
    values = {"question": clips[0].question, "events_path": str(clips[0].events), "video_path": str(clips[0].video)}
    wrong = {k: v.replace("{bad}", str(bad_files)) if isinstance(v, str) else v for k, v in BAD[name].items()}
    with pytest.raises(InputError) as caught:
        list(ask_daemon(pair.edge.address, AskRequest(**{**values, **wrong})))  # type: ignore[arg-type]
    said = one_line(caught.value)
    path = str(wrong.get("events_path") or wrong.get("video_path") or "")
    if path:
        assert Path(path).name in said, "the message must name the file"
    assert ask(pair.edge.address, clips[0], max_tokens=4).values["tokens"] == 4
    assert daemon_status(pair.edge.address).sessions == 0


def test_bytes_that_are_no_question(pair: Pair, clips: list[ClipQuestion]) -> None:
    with grpc.insecure_channel(pair.edge.address) as channel:
        call = channel.unary_stream(f"/{codec.EDGE_SERVICE}/Ask")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(b"\xff\xff\xff"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ask(pair.edge.address, clips[0], max_tokens=4).values["tokens"] == 4


def test_errors_of_ask_are_one_line_and_status_2(pair: Pair, clips: list[ClipQuestion], bad_files: Path) -> None:
    clip = clips[0]
    for arguments in (
        [clip.question, "--events", str(bad_files / "junk.h5"), "--video", str(clip.video), "--json"],
        [clip.question, "--events", str(clip.events), "--video", str(bad_files / "junk.mp4")],
        [clip.question, "--events", str(clip.events)],
        [clip.question, "--events", str(clip.events), "--video", str(clip.video), "--top-p", "7"],
    ):
        done = run_ask(pair, *arguments)
        assert done.returncode == 2
        assert done.stdout.strip() == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("eventspec-edge: ")


def test_a_drafter_of_another_vocabulary(pair: Pair, clips: list[ClipQuestion], tmp_path: Path) -> None:
    folder = talkative(shipped_drafter(), tmp_path / "drafter")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.__getitem__)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    edge = start_edge(pair.cloud.address, "--model", str(folder), "--threads", "1")
    try:
        edge.wait_ready(60.0)
        for mode in (Mode.STREAM_TO_CLOUD, Mode.CLOUD_ONLY):  # who doesn't draft couldn't read the answer either
            with pytest.raises(ModelError) as caught:
                ask(edge.address, clips[0], mode=mode)
            assert "different tokenizers" in one_line(caught.value)
            assert "--target-tokenizer" in one_line(caught.value)
        assert ask(edge.address, clips[0], mode=Mode.EDGE_ONLY, max_tokens=4).values["vocabulary"] == "own"
        assert any("another tokenizer" in line for line in edge.log)
    finally:
        edge.stop()
    assert ask(pair.edge.address, clips[0], max_tokens=4).values["tokens"] == 4


def broken(folder: Path, into: Path) -> Path:
    """A model folder whose weights are none."""
    talkative(folder, into)
    (into / "model.safetensors").unlink()
    (into / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense")
    return into


def test_a_wrong_model_folder_is_one_clear_error(tmp_path: Path) -> None:
    target, drafter = shipped_target(), shipped_drafter()
    folders = {
        "cloud": [tmp_path / "nowhere", drafter, broken(target, tmp_path / "target")],
        "edge": [tmp_path / "nowhere", target, broken(drafter, tmp_path / "drafter")],
    }
    start: dict[str, Callable[..., DaemonProcess]]
    start = {"cloud": start_cloud, "edge": partial(start_edge, "127.0.0.1:9")}
    daemons = [(start[side]("--model", str(folder)), folder) for side in folders for folder in folders[side]]
    try:
        for daemon, folder in daemons:
            with pytest.raises(LinkError, match="ended"):
                daemon.wait_ready(100.0)
            assert daemon.process.wait(10.0) == 2
            said = [line for line in daemon.log if line.startswith(f"eventspec-{daemon.name}: ")]
            assert len(said) == 1
            assert str(folder) in said[0]
            assert not any("Traceback" in line for line in daemon.log)
    finally:
        for daemon, _ in daemons:
            daemon.kill()
