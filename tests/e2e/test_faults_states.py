"""An engine that dies with the target's states that drafts are made of: the answer stays, and the next engine has them.

An L5F reads the target's own states beside the drafter's. They live in the engine process alone; the edge's next drafts
carry its own states of all that is committed, and the engine that resumes makes the target's anew.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise

import pytest

from benchmarks.clips import ClipQuestion
from benchmarks.faults.victims import PACED
from benchmarks.processes import Pair, running_pair
from common.ask import Mode
from common.shipped import shipped_drafter, shipped_target
from common.types import Pace, SamplingParams
from tests.e2e.pairs import Asked, ask, engine_of, talkative

LONG = 60
SAMPLED = SamplingParams(1.0, top_p=0.95, seed=7)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The shipped pair with its fused adapter; answers never end, and every pass takes its time."""
    folder = tmp_path_factory.mktemp("talkative")
    (folder / "paced.toml").write_text(PACED)
    adapter = ("--adapter", "tiny-L5F", "--threads", "1")
    with running_pair(
        target=talkative(shipped_target(), folder / "target"),
        drafter=talkative(shipped_drafter(), folder / "drafter"),
        cloud_arguments=[*adapter, "--replay", str(folder / "paced.toml")],
        edge_arguments=[*adapter, "--draft-form", "int8", "--give-up-after-s", "90"],
    ) as running:
        yield running


def behind_the_gap(asked: Asked) -> list[tuple[int, int]]:
    """Drafted and accepted tokens of the passes behind the longest silence."""
    trace = asked.values["commit_trace"]
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(trace)]
    return [(drafted, accepted) for _, _, drafted, accepted in trace[gaps.index(max(gaps)) + 1 :]]


@pytest.mark.timeout(300)
def test_a_killed_engine_changes_nothing(stage: Pair, clips: list[ClipQuestion]) -> None:
    truth = ask(stage.edge.address, clips[2], mode=Mode.CLOUD_ONLY, sampling=SAMPLED, max_tokens=LONG).token_ids
    assert len(truth) == LONG
    engine = engine_of(stage.cloud.process.pid)
    asked = ask(
        stage.edge.address,
        clips[2],
        sampling=SAMPLED,
        pace=Pace.PATIENT,
        max_tokens=LONG,
        on_first_commit=lambda: os.kill(engine, signal.SIGKILL),
    )
    assert asked.token_ids == truth
    assert asked.values["resumes"] >= 1
    assert (asked.values["mode"], asked.values["draft_form"]) == ("stream_to_cloud", "int8")
    assert engine_of(stage.cloud.process.pid) != engine
    later = behind_the_gap(asked)
    assert sum(drafted for drafted, _ in later) > 0
    assert sum(accepted for _, accepted in later) > 0
    assert asked.values["uplink_bytes"]["drafts"] > 100 * sum(drafted for drafted, _ in later), "states, not ids"
