"""An edge that learns from commits while it serves: its drafts get better, its answers stay the cloud's."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from benchmarks.clips import ClipQuestion
from benchmarks.processes import DaemonProcess, Pair, start_edge
from common.adapters import create_adapter, save_adapter
from common.ask import Mode
from common.types import Pace, SamplingParams
from edge.config import EdgeSettings
from tests.common.adapters.test_levels import stir
from tests.e2e.pairs import ask

SAMPLED = SamplingParams(1.2, top_k=40, top_p=0.95, seed=11)
ROUNDS, IDLE_S = 6, 0.15


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """An adapter for the shipped pair that has learnt nothing yet: its drafts are nearly always wrong."""
    torch.manual_seed(7)
    adapter = create_adapter("L1", 128, 256)
    stir(adapter)
    save_adapter(adapter, tmp_path / "untrained")
    return tmp_path / "untrained"


def start(pair: Pair, adapter: Path, *more: str) -> DaemonProcess:
    flags = ("--adapter", str(adapter), "--draft-form", "mirror", "--threads", "1")
    edge = start_edge(pair.cloud.address, *flags, *more)
    edge.wait_ready(100.0)
    return edge


def round_of(
    edge: DaemonProcess, clips: list[ClipQuestion], truths: list[list[int]], sampling: SamplingParams
) -> float:
    """Ask all, with time to learn behind each answer; returns the share of drafts that were right."""
    accepted = drafted = 0
    for clip, truth in zip(clips, truths, strict=True):
        asked = ask(edge.address, clip, sampling=sampling, pace=Pace.PATIENT, draft_length=4)
        assert asked.token_ids == truth
        assert asked.values["draft_form"] == "mirror"
        assert not asked.notices
        accepted, drafted = accepted + asked.values["accepted"], drafted + asked.values["drafted"]
        time.sleep(IDLE_S)
    return accepted / drafted


@pytest.mark.timeout(300)
def test_acceptance_rises_and_no_answer_changes(
    pair: Pair, clips: list[ClipQuestion], untrained: Path, tmp_path: Path
) -> None:
    chosen, learnt = [clips[2], clips[4]], tmp_path / "learnt"
    before = (untrained / "model.safetensors").read_bytes()
    greedy, sampled = (
        [ask(pair.edge.address, c, mode=Mode.CLOUD_ONLY, sampling=how).token_ids for c in chosen]
        for how in (SamplingParams(), SAMPLED)
    )
    edge = start(pair, untrained, "--distill", str(learnt))
    try:
        first, *_, last = (round_of(edge, chosen, greedy, SamplingParams()) for _ in range(ROUNDS))
        assert last > first + 0.2
        round_of(edge, chosen, sampled, SAMPLED)
        assert edge.stop() == 0
    finally:
        edge.kill()
    kept = (learnt / "model.safetensors").read_bytes()
    again = start(pair, untrained, "--distill", str(learnt))
    try:
        assert round_of(again, chosen[:1], greedy[:1], SamplingParams()) > first + 0.1
        os.kill(again.process.pid, signal.SIGKILL)
        again.process.wait()
    finally:
        again.kill()
    assert len((learnt / "model.safetensors").read_bytes()) == len(kept)
    assert (untrained / "model.safetensors").read_bytes() == before, "what was given is never written"


def test_it_is_off_by_default() -> None:
    assert EdgeSettings().distill == ""
