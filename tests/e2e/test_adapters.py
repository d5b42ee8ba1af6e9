"""Daemons with adapters, as a user starts them: each form's answer is the cloud's, and the report tells the form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.clips import ClipQuestion
from benchmarks.processes import DaemonProcess, Pair, start_cloud, start_edge
from common.adapters import create_adapter, save_adapter
from common.ask import Mode
from common.errors import LinkError
from common.types import Pace, SamplingParams
from tests.common.adapters.test_levels import stir
from tests.e2e.pairs import ask

SAMPLED = SamplingParams(1.2, top_k=40, top_p=0.95, seed=11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained split adapter for the shipped pair."""
    torch.manual_seed(0)
    adapter = create_adapter("L1S", 128, 256, width=32)
    stir(adapter)
    into = tmp_path_factory.mktemp("adapter")
    save_adapter(adapter, into)
    return into


@pytest.fixture(scope="module")
def cloud(folder: Path) -> Iterator[DaemonProcess]:
    daemon = start_cloud("--adapter", str(folder), "--threads", "1")
    try:
        daemon.wait_ready(60.0)
        yield daemon
    finally:
        daemon.stop()


@pytest.mark.parametrize("form", ["hidden", "int8", "codes", "mirror"])
def test_every_form_gives_the_clouds_answer(
    cloud: DaemonProcess, folder: Path, clips: list[ClipQuestion], form: str
) -> None:
    edge = start_edge(cloud.address, "--adapter", str(folder), "--draft-form", form, "--threads", "1")
    try:
        edge.wait_ready(60.0)
        for sampling, pace in ((SamplingParams(), Pace.PATIENT), (SAMPLED, Pace.EAGER)):
            alone = ask(edge.address, clips[2], mode=Mode.CLOUD_ONLY, sampling=sampling)
            together = ask(edge.address, clips[2], sampling=sampling, pace=pace, patience_ms=3_000)
            assert together.token_ids == alone.token_ids
            assert together.values["draft_form"] == form
            assert alone.values["draft_form"] == "ids"
            assert together.values["uplink_bytes"]["drafts"] > 0
            assert together.values["drafted"] > 0 or pace is Pace.EAGER
            assert not together.notices
    finally:
        edge.stop()


def test_a_cloud_without_the_adapter_gets_ids(pair: Pair, folder: Path, clips: list[ClipQuestion]) -> None:
    edge = start_edge(pair.cloud.address, "--adapter", str(folder), "--draft-form", "int8", "--threads", "1")
    try:
        edge.wait_ready(60.0)
        asked = ask(edge.address, clips[1])
        assert asked.values["draft_form"] == "ids"
        assert any("drafts go as ids" in notice for notice in asked.notices)
        assert asked.token_ids == ask(pair.edge.address, clips[1], mode=Mode.CLOUD_ONLY).token_ids
        assert any("drafts go as ids" in line for line in edge.log)
    finally:
        edge.stop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--draft-form", "int8"], "needs an --adapter"),
        (["--adapter", "{folder}"], "needs a --draft-form"),
        (["--adapter", "{folder}", "--draft-form", "smoke"], "must be one of"),
        (["--adapter", "/nowhere", "--draft-form", "int8"], "/nowhere"),
    ],
)
def test_flags_that_make_no_sense(folder: Path, arguments: list[str], words: str) -> None:
    edge = start_edge("127.0.0.1:9", *(a.replace("{folder}", str(folder)) for a in arguments))
    try:
        with pytest.raises(LinkError, match="ended"):
            edge.wait_ready(60.0)
        assert edge.process.wait(10.0) == 2
        (said,) = [line for line in edge.log if line.startswith("eventspec-edge: ")]
        assert words in said
    finally:
        edge.kill()
