"""All paradigms for real, over loopback: same ids, greedy and sampled; and what happens when a process dies."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from benchmarks.clips import load_questions, spread
from benchmarks.link.opening import LoopbackLink
from benchmarks.paradigms.catalogue import CLOUD_ONLY, PARADIGMS
from benchmarks.paradigms.deployment import DaemonDiedError, Deployment, Layout
from benchmarks.paradigms.losslessness import require_lossless
from benchmarks.paradigms.measuring import measure
from benchmarks.paradigms.plan import Plan
from benchmarks.paradigms.tuning import tune_colocated
from benchmarks.processes import DaemonProcess, wait_gone
from benchmarks.results import UPLINK_KINDS, Run
from common.adapters import create_adapter, save_adapter
from common.errors import LinkError
from common.shipped import shipped_drafter, shipped_target
from common.types import SamplingParams

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
LINK = LoopbackLink()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All processes, with an adapter that has learnt nothing; afterwards none is left."""
    adapter = tmp_path_factory.mktemp("adapter")
    widths = [json.loads((folder / "config.json").read_text()) for folder in (shipped_drafter(), shipped_target())]
    save_adapter(create_adapter("L1", widths[0]["hidden_size"], widths[1]["text_config"]["hidden_size"]), adapter)
    with Deployment(LINK, PARADIGMS, Layout(adapter=str(adapter))) as running:
        pids = [process.process.pid for process in running._processes]
        yield running
    assert wait_gone(pids, 10.0) == []


def runs_of(deployment: Deployment, sampling: SamplingParams) -> list[Run]:
    questions = spread(load_questions(), 3)
    return list(measure(deployment, LINK, Plan(PARADIGMS, questions, 1, sampling, max_tokens=24)))


@pytest.mark.parametrize("sampling", [SamplingParams(), SamplingParams(temperature=1.5, seed=7)])
def test_all_lossless_paradigms_say_the_same(deployment: Deployment, sampling: SamplingParams) -> None:
    runs = runs_of(deployment, sampling)
    assert {run.label for run in runs} == {paradigm.label for paradigm in PARADIGMS}
    require_lossless(runs)


def test_runs_have_plausible_figures(deployment: Deployment) -> None:
    for run in runs_of(deployment, SamplingParams()):
        assert run.ttft_ms is not None and 0 < run.ttft_ms <= run.total_ms, run.label
        assert run.tokens == len(run.token_ids) > 1 and run.tpot_ms is not None and run.tpot_ms >= 0
        assert 0 <= run.accepted <= run.drafted and sum(run.drafted_by_position) == run.drafted
        assert sum(run.accepted_by_position) == run.accepted
        assert set(run.uplink_bytes) == set(UPLINK_KINDS)
        assert bool(run.uplink_total) == (run.paradigm not in ("edge_only", "in_process"))
        assert all(0 <= span["start_ms"] <= span["end_ms"] for span in run.stages), (run.label, run.stages)
        if run.lossless and run.drafted:
            assert run.target_passes + run.accepted >= run.tokens


def test_colocated_drafts_cross_no_link_and_its_sensor_data_does(deployment: Deployment) -> None:
    found = {run.label: run for run in runs_of(deployment, SamplingParams())}
    here, cloud = found["colocated"], found["cloud_only"]
    assert here.drafted > 0 and here.uplink_bytes["drafts"] == 0
    pictures = here.extra["event_picture_bytes"]
    assert 0 < pictures < here.uplink_bytes["video"]
    assert here.uplink_bytes["video"] - pictures == pytest.approx(cloud.uplink_bytes["video"], abs=100)


def test_the_baselines_settings_are_chosen_by_trying(deployment: Deployment) -> None:
    plan = Plan(PARADIGMS, spread(load_questions(), 1), 1, max_tokens=8)
    paradigms, (note,) = tune_colocated(deployment, plan)
    assert [p.label for p in paradigms] == [p.label for p in PARADIGMS]
    assert "fastest" in note and note.count(" ms)") == 4


def test_a_dead_daemon_is_an_error_with_its_name_and_last_words() -> None:
    dead = subprocess.Popen(["false"], text=True)
    dead.wait(10)
    stopped = Deployment(LINK, [CLOUD_ONLY], Layout())
    stopped._processes.append(DaemonProcess("cloud", dead, log=["out of memory"]))
    with pytest.raises(DaemonDiedError, match=r"(?s)cloud daemon died \(status 1\).*out of memory"):
        stopped.check()


def test_an_answer_that_the_edge_finished_alone_is_no_answer(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(*arguments: object, **named: object) -> dict[str, object]:
        return {"mode": "edge_only"}

    monkeypatch.setattr("benchmarks.paradigms.deployment.ask_clip", alone)
    with pytest.raises(LinkError, match="the link failed"):
        deployment.ask(CLOUD_ONLY, load_questions()[0], SamplingParams(), 4)
