"""Daemons with a drafter of another vocabulary, as a user starts them: the answer is the cloud's, in its own ids."""

from __future__ import annotations

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.processes import Pair, start_edge
from common.ask import Mode
from common.shipped import shipped_other_drafter, shipped_target
from common.types import Pace, SamplingParams
from tests.e2e.pairs import ask

SAMPLED = SamplingParams(1.2, top_k=40, top_p=0.95, seed=11)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["text", "pieces"])
def test_a_drafter_of_another_vocabulary_drafts_for_the_target(pair: Pair, clips: list[ClipQuestion], way: str) -> None:
    arguments = ("--model", str(shipped_other_drafter()), "--target-tokenizer", str(shipped_target()))
    edge = start_edge(pair.cloud.address, *arguments, "--across", way, "--threads", "1")
    try:
        edge.wait_ready(60.0)
        for number, sampling in ((0, SamplingParams()), (2, SAMPLED)):
            alone = ask(pair.edge.address, clips[number], mode=Mode.CLOUD_ONLY, sampling=sampling)
            together = ask(edge.address, clips[number], sampling=sampling, pace=Pace.PATIENT)
            assert together.token_ids == alone.token_ids
            assert together.values["answer"] == alone.values["answer"]
            assert together.values["vocabulary"] == way
            assert together.values["accepted"] > 0
            assert not together.notices
        silent = ask(edge.address, clips[0], mode=Mode.CLOUD_ONLY)
        assert silent.values["answer"] == ask(pair.edge.address, clips[0], mode=Mode.CLOUD_ONLY).values["answer"]
        own = ask(edge.address, clips[0], mode=Mode.EDGE_ONLY)
        assert own.values["vocabulary"] == "own"
        assert own.values["answer"][0].isupper() and own.values["answer"].endswith(".")
        assert any(f"drafts go across by {way}" in line for line in edge.log)
    finally:
        edge.stop()
