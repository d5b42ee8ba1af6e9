"""Data and training resume to the bit; evaluation, export and commands work on micro models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from typer.testing import CliRunner

from common.errors import ModelError, SettingsError
from tests.training.samples import MICRO_PLAN, SCENES, micro
from training.__main__ import app
from training.data.batches import Shards
from training.data.shards import generate
from training.evaluation.acceptance import Acceptance, token_classes
from training.evaluation.cases import held_out
from training.evaluation.report import as_json, evaluate
from training.evaluation.target import choices
from training.export import export, load_checkpoint, load_exported
from training.loop import Report, Trainer
from training.models import DrafterLearner, TargetLearner
from training.objective import prefix_of
from training.plan import DRAFTER_PLAN, TARGET_PLAN, Phase


def trainer(kind: str, tokenizer: Tokenizer, data: Path, out: Path) -> Trainer:
    learner = micro(kind)
    goals = ("patches", "answers") if kind == "drafter" else ("patches", "watch", "tracks", "answers", "fates")
    plan = [phase for phase in MICRO_PLAN if phase.goal in goals]
    return Trainer(learner, prefix_of(learner, tokenizer), Shards(data, learner.sense), plan, out)


def test_generation_keeps_what_is_there(data: Path, tokenizer: Tokenizer) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    assert list(generate(data, 2, tokenizer, size=SCENES)) == []
    (data / "train-001.events.done").unlink()
    content = (data / "train-001.events.npy").read_bytes()
    assert list(generate(data, 2, tokenizer, size=SCENES)) == ["train-001.events"]
    assert (data / "train-001.events.npy").read_bytes() == content
    assert (data / "train-000.events.npy").stat().st_mtime_ns == before[data / "train-000.events.npy"]


@pytest.mark.parametrize("kind", ["target", "drafter"])
def test_training_resumes_to_the_bit(kind: str, tokenizer: Tokenizer, data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = trainer(kind, tokenizer, data, tmp_path / "whole")
    reports: list[Report] = []
    whole.run(reports.append)
    assert whole.done
    parts = tmp_path / "parts"
    for _ in range(len(reports)):
        trainer(kind, tokenizer, data, parts).run(lambda report: None, limit=1)
    resumed = trainer(kind, tokenizer, data, parts)
    assert resumed.done
    for name, tensor in whole.learner.state_dict().items():
        assert torch.equal(tensor, resumed.learner.state_dict()[name]), name
    assert (parts / "log.jsonl").read_text().count("\n") == len(reports)


def test_no_data_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="eventspec-train data"):
        Shards(tmp_path, "frames")
    with pytest.raises(ModelError, match="eventspec-train target"):
        load_checkpoint("target", tmp_path)


def test_rates_rise_and_fall() -> None:
    phase = Phase("x", "answers", steps=100, rate=1.0, batch=1, layers=1)
    rates = [phase.rate_at(step) for step in range(100)]
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] < 0.03
    assert TARGET_PLAN[-1].layers > TARGET_PLAN[0].layers
    assert DRAFTER_PLAN[-1].layers == 2


def test_a_micro_pair_is_exported_and_evaluated(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for kind in ("target", "drafter"):
        export(micro(kind), tmp_path / kind)
        assert (tmp_path / kind / "config.json").exists()
    target, drafter = load_exported("target", tmp_path / "target"), load_exported("drafter", tmp_path / "drafter")
    assert isinstance(target, TargetLearner)
    assert isinstance(drafter, DrafterLearner)
    video = target.model.model.video_tower.state_dict()
    assert all(torch.equal(value, video[key]) for key, value in target.model.model.image_tower.state_dict().items())
    done: list[int] = []
    figures = evaluate(target, drafter, tokenizer, 1, done.append)
    values = as_json(figures)
    assert done == [1]
    assert values["target_right"] == 0.0
    assert 0.0 <= values["acceptance"] <= 1.0
    assert figures.costs is not None
    assert figures.costs.drafter_ms > 0
    tokens = sum(drafted for _, drafted in figures.acceptance.by_class.values()) if figures.acceptance else 0
    assert tokens == sum(drafted for _, drafted in figures.acceptance.by_position.values()) if figures.acceptance else 0


def test_choices_of_all_pairs_are_choices_of_each(tokenizer: Tokenizer) -> None:
    learner = micro("drafter")
    prefix = prefix_of(learner, tokenizer)
    case = next(held_out(1, tokenizer))
    together = choices(learner, prefix, case.events, case.pairs)
    alone = [choices(learner, prefix, case.events, [pair])[0] for pair in case.pairs]
    assert together == alone


def test_acceptance_of_longer_drafts_follows_from_the_flags() -> None:
    found = Acceptance()
    found.add([True, True, False, True, True, True], ["function"] * 6)
    assert found.rate == pytest.approx(5 / 6)
    # drafts of 2: [T T] + correction, [T T] + bonus
    assert found.mean_length(2) == pytest.approx(6 / 2)
    assert found.drafted_rate(2) == pytest.approx(4 / 4)
    # drafts of 4: [T T F .] + correction, [T T T]
    assert found.drafted_rate(4) == pytest.approx(5 / 8)


def test_classes_of_words(tokenizer: Tokenizer) -> None:
    answer = [*tokenizer.encode("The small red circle and the red cross move left quickly.").ids, 2]
    classes = token_classes(tokenizer, answer, "What moves?")
    expected = ["function", "size", "colour", "shape", "function", "function", "colour, named before", "shape"]
    assert classes == [*expected, "motion", "motion", "speed", "function", "end"]
    assert "colour" not in token_classes(tokenizer, answer, "Is the red object there?")


def test_help_needs_no_torch() -> None:
    code = "import sys, training.__main__; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    for command in (
        "data",
        "target",
        "drafter",
        "evaluate",
        "pack",
        "extract",
        "adapter",
        "lora",
        "metrics",
        "bound",
        "decide",
    ):
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0
        assert "--" in result.output
