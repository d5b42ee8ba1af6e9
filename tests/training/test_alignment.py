"""Adapters and LoRA resume to the bit and learn; what is measured is what the runtime would accept; the bound holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from typer.testing import CliRunner

from common.adapters import create_adapter, load_adapter
from common.errors import SettingsError
from common.shipped import shipped_drafter
from common.tokenizer import Tokenizer as ServedTokenizer
from tests.training.samples import micro
from tests.training.test_extraction import Few, aligner
from training.__main__ import app
from training.alignment.batches import Batches, cut_short, make_batch
from training.alignment.chunks import load_chunks
from training.alignment.extraction import extract
from training.alignment.fitting import AdapterTrainer, Recipe
from training.alignment.lora import LoraRecipe, LoraTrainer
from training.alignment.losses import Weights, adapter_loss, state_loss
from training.alignment.measure import Heads, figures, judge
from training.alignment.sources import GeneratedSource
from training.alignment.states import Aligner
from training.alignment.stepping import Step
from training.evaluation.bound import Bound, Posterior, bound, fires
from training.evaluation.bound import judge as observe
from training.evaluation.cases import held_out
from training.export import load_exported
from training.models import DrafterLearner
from training.objective import prefix_of
from training.world.scenes import sample_scene

SMALL = {"L1": {}, "L1S": {"width": 16}, "L2": {}, "L3": {"width": 32}, "L4": {"width": 32}, "L5": {"width": 32}}
SMALL |= {"L5F": {"width": 32}, "tokens": {"embedding": 16, "width": 32, "blocks": 1}}


@pytest.fixture(scope="module")
def models(tokenizer: Tokenizer) -> Aligner:
    return aligner(tokenizer, layers=2)


@pytest.fixture(scope="module")
def states(models: Aligner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.alignment.states.MAX_ANSWER", 8)
        extract(Few(), models, folder, 4, lambda *_: None)
    return folder


def trainer(level: str, states: Path, models: Aligner, out: Path, steps: int = 4) -> AdapterTrainer:
    recipe = Recipe(level, dict(SMALL[level]), steps=steps, batch=3)
    return AdapterTrainer(recipe, states, models.target.lm_head, models.target.language.embed_tokens, out)


def heads(models: Aligner) -> Heads:
    return Heads(models.target.lm_head, models.drafter.lm_head, models.target.language.embed_tokens)


@pytest.mark.parametrize("level", list(SMALL))
def test_every_level_trains_resumes_to_the_bit_and_is_judged(
    level: str, states: Path, models: Aligner, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    whole = trainer(level, states, models, tmp_path / "whole")
    whole.run(lambda _: None)
    for _ in range(4):
        trainer(level, states, models, tmp_path / "parts").run(lambda _: None, limit=1)
    parts = trainer(level, states, models, tmp_path / "parts")
    assert whole.done
    assert parts.done
    for name, tensor in whole.adapter.state_dict().items():
        assert torch.equal(tensor, parts.adapter.state_dict()[name]), name
    loaded = load_adapter(tmp_path / "whole").adapter
    judged = judge(states, loaded, heads(models), tokenizer)
    assert judged.mask.sum() == sum(len(row) for row in judged.classes)
    found = figures(judged)
    assert json.dumps(found)
    assert ("proxies" in found) == (level != "tokens")
    with pytest.raises(SettingsError, match="another recipe"):
        trainer(level, states, models, tmp_path / "parts", steps=5)


def test_an_adapter_learns(states: Path, models: Aligner, tmp_path: Path) -> None:
    reports: list[Step] = []
    trainer("L1", states, models, tmp_path, steps=300).run(reports.append)
    assert reports[-1].loss < reports[0].loss
    assert sum(report.right for report in reports[-10:]) / 10 > 0.1  # of random answers; 1 in 576 by chance


def test_raw_ids_are_judged_by_the_drafters_own_choices(states: Path, models: Aligner, tokenizer: Tokenizer) -> None:
    judged = judge(states, None, heads(models), tokenizer)
    chunks = list(load_chunks(states))
    agree = sum(int((chunk.tensors["target_ids"] == chunk.tensors["drafter_ids"]).sum()) for chunk in chunks)
    assert abs(int(judged.flags[judged.mask].sum()) - agree) <= 1  # states are kept in half precision
    assert judged.cosine is None


def test_chunk_levels_never_see_behind_the_drafted_position(
    states: Path, models: Aligner, tokenizer: Tokenizer
) -> None:
    batch = make_batch(next(load_chunks(states)), [0, 1], 1)
    cut, last = cut_short(batch, torch.tensor([1, 0]))
    assert last.sum().item() == 2
    assert cut.mask.sum(1).tolist() == [2, 1]
    assert cut.drafted[0, 0] == batch.ids[0, 0]
    assert cut.drafted[0, 1] == batch.drafted[0, 1]
    adapter = create_adapter("L4", 32, 32, width=32).eval()
    open_, closed = (judge(states, adapter, heads(models), tokenizer, whole=whole) for whole in (True, False))
    assert open_.cosine is not None
    assert closed.cosine is not None
    assert not np.allclose(open_.cosine, closed.cosine)


def test_batches_visit_every_sample_once_an_epoch(states: Path) -> None:
    batches = Batches(states, 2, seed=1)
    sizes = [len(batches(step).ids) for step in range(batches.per_epoch)]
    assert sum(sizes) == 6
    assert torch.equal(batches(1).ids, Batches(states, 2, seed=1)(1).ids)


def test_fed_tokens_and_previous_states_are_one_behind(states: Path) -> None:
    chunk = next(load_chunks(states))
    batch = make_batch(chunk, [2], 2)
    assert batch.fed[0, 0] == chunk.prompts()[2][-1]
    assert torch.equal(batch.fed[:, 1:], batch.ids[:, :-1])
    assert not batch.previous[:, 0].any()
    assert torch.equal(batch.previous[:, 1:], batch.target[:, :-1])
    assert batch.states.shape[-1] == 64
    with pytest.raises(SettingsError, match="--layers 3"):
        make_batch(chunk, [0], 3)


def test_losses() -> None:
    state, mask = torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)
    mask[1, 2] = False
    assert state_loss(state, state, mask).item() == pytest.approx(0, abs=1e-6)
    assert state_loss(-state, state, mask).item() == pytest.approx((4 * state[mask] ** 2).mean().item() + 1, rel=1e-4)
    logits, ids = torch.randn(5, 7), torch.zeros(2, 3, dtype=torch.long)
    only, _ = adapter_loss(state, logits, state, ids, mask, Weights(states=1.0, tokens=0.0, following=0.5))
    assert only.item() == pytest.approx(0.5 * state_loss(state[:, :-1], state[:, 1:], mask[:, 1:]).item(), rel=1e-4)


def test_lora_resumes_merges_and_learns(states: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    scenes = {scene.seed: scene.events for scene in Few().scenes(0)}
    reports: list[Step] = []

    def tuner(out: Path) -> LoraTrainer:
        learner = micro("drafter", seed=1)
        assert isinstance(learner, DrafterLearner)
        recipe = LoraRecipe(rank=4, alpha=8, steps=12, batch=2, room=60, rate=1e-2)
        prefix = prefix_of(learner, tokenizer)
        return LoraTrainer(recipe, learner, prefix, states, lambda s: torch.stack([scenes[int(i)] for i in s]), out)

    whole = tuner(tmp_path / "whole")
    whole.run(reports.append)
    tuner(tmp_path / "parts").run(lambda _: None, limit=5)
    parts = tuner(tmp_path / "parts")
    parts.run(lambda _: None)
    assert all(torch.equal(value, parts.tuned[name]) for name, value in whole.tuned.items())
    assert reports[-1].loss < reports[0].loss
    merged, served = whole.merged(), load_exported("drafter", tmp_path / "whole")
    for name, value in merged.model.state_dict().items():
        torch.testing.assert_close(served.model.state_dict()[name], value, atol=2e-3, rtol=2e-3)
    fresh = micro("drafter", seed=1)
    assert not torch.equal(merged.lm_head.weight, fresh.lm_head.weight)


def test_drawn_scenes_keep_what_fires() -> None:
    scene = sample_scene(10_000_003)
    for drawn in Posterior(scene, np.random.default_rng(0)).draw(20):
        kept = [thing for thing in drawn.things if fires(thing)]
        places = [(t.shape, t.size, t.motion, t.x) for t in scene.things if fires(t)]
        assert [(t.shape, t.size, t.motion, t.x) for t in kept] == places


def test_the_ideal_observer() -> None:
    new = 1 << 20
    pool = [(5, new, 7), (5, new, 7), (5, new, 8), (6, 9)]
    found = Bound()
    told: list[Any] = list(observe(pool, (5, new, 8), ["function", "colour", "shape"], 0, found))
    assert told[0] == ("function", 0.75, 1.0)
    assert told[1] == ("colour", pytest.approx(1 / 6), pytest.approx(1 / 6))
    assert told[2] == ("shape", pytest.approx(2 / 3), 0.0)
    assert list(observe(pool, (5, new), ["function", "colour"], 2, found))[1][1] == pytest.approx(1.0)


def test_colours_are_a_guess_and_what_moves_is_known(tokenizer: Tokenizer) -> None:
    cases = list(held_out(2, tokenizer, first=4))
    answers = [[list(pair.answer) for pair in case.pairs] for case in cases]
    found = bound(cases, answers, tokenizer, lambda _: None, scenes=20, asks=6)
    expected, _, tokens = found.by_class["colour"]
    assert 0.1 < expected / tokens < 0.35
    assert found.by_class["end"][0] / found.by_class["end"][2] > 0.9
    assert found.tokens == sum(len(answer) for given in answers for answer in given)


def test_commands_run_on_what_is_shipped(tokenizer: Tokenizer, tmp_path: Path) -> None:
    runner = CliRunner()
    common = ["--held-out", "--scenes", "1", "--out", str(tmp_path / "s")]
    assert runner.invoke(app, ["extract", *common]).exit_code == 0
    out = str(tmp_path / "a")
    trained = runner.invoke(
        app, ["adapter", "--level", "L1", "--states", str(tmp_path / "s"), "--out", out, "--steps", "2"]
    )
    assert trained.exit_code == 0, trained.output
    measured = runner.invoke(
        app, ["metrics", "--states", str(tmp_path / "s"), "--adapter", out, "--json", str(tmp_path / "m.json")]
    )
    assert measured.exit_code == 0, measured.output
    assert set(json.loads((tmp_path / "m.json").read_text())["ways"]) == {"raw ids", "a"}


def test_a_tuned_drafter_can_be_served_as_it_is(states: Path, tmp_path: Path) -> None:
    common = ["--states", str(states), "--data", str(tmp_path), "--out", str(tmp_path / "lora")]
    tuned = CliRunner().invoke(app, ["lora", *common, "--steps", "1", "--batch", "1"])
    assert tuned.exit_code == 0, tuned.output
    shipped = ServedTokenizer.from_folder(shipped_drafter())
    assert ServedTokenizer.from_folder(tmp_path / "lora").hash == shipped.hash


def test_generated_scenes_need_no_disk(tokenizer: Tokenizer) -> None:
    assert next(GeneratedSource(tokenizer, 1, 2).scenes(0)).events.shape == (5, 3, 56, 56)
