"""What an L5F learns from and is judged by is what serving sees: the drafter's own states behind its misses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from common.adapters import FusedAdapter, FusedAnswer, create_adapter
from common.errors import ModelError, SettingsError
from common.packed import use_packed_attention
from edge.drafter import Drafter
from edge.eventgpt.prompt import EVENT_PLACEHOLDER
from tests.common.adapters.test_levels import stir
from tests.training.test_extraction import Few, aligner
from training.alignment.batches import Batches, make_batch
from training.alignment.chunks import load_chunks
from training.alignment.extraction import extract
from training.alignment.fitting import AdapterTrainer, Recipe
from training.alignment.measure import Heads
from training.alignment.rolling import roll
from training.alignment.rollouts import DEPTH, RollOut, load_rollouts, write_rollouts
from training.alignment.serving import ServedBatches, drafts_of, guess
from training.alignment.states import Aligner


@pytest.fixture(scope="module")
def models(tokenizer: Tokenizer) -> Aligner:
    return aligner(tokenizer)


def pictures(seeds: np.ndarray) -> Tensor:
    scenes = {scene.seed: scene.events for scene in Few().scenes(0)}
    return torch.stack([scenes[int(seed)] for seed in seeds])


@pytest.fixture(scope="module")
def states(models: Aligner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.alignment.states.MAX_ANSWER", 8)
        extract(Few(), models, folder, 4, lambda *_: None)
    assert write_rollouts(folder, RollOut(models.drafter, models.prefixes[1], pictures), lambda *_: None) > 4
    assert write_rollouts(folder, RollOut(models.drafter, models.prefixes[1], pictures), lambda *_: None) == 0
    return folder


def test_states_behind_a_miss_are_those_that_the_drafter_goes_on_with(states: Path, models: Aligner) -> None:
    chunk, rollouts = next(load_chunks(states)), load_rollouts(states, 0)
    model = models.drafter.model.eval()
    use_packed_attention(model.model)
    prefix, checked = models.prefixes[1], 0
    starts, own = chunk.starts.tolist(), chunk.tensors["drafter_ids"].tolist()
    ids, prompts = chunk.tensors["target_ids"].tolist(), chunk.prompts()
    for at, (first, count) in list(rollouts.places.items())[::3]:
        sample = max(i for i, start in enumerate(starts[:-1]) if start <= at)
        drafter = Drafter(model, vocab_size=576)
        events = models.drafter.features(pictures(chunk.tensors["scenes"][[sample]].numpy()))[0]
        drafter.prefill([*prefix.before, EVENT_PLACEHOLDER, *prefix.after, *prompts[sample]], features=events)
        drafter.draft(1)
        drafter.commit(0, [*ids[starts[sample] : at], own[at]])
        drafter.draft(count)
        mine = rollouts.states[first : first + len(drafter.hidden_states)]
        torch.testing.assert_close(drafter.hidden_states[: len(mine)], mine, atol=4e-3, rtol=1e-2)
        checked += len(mine)
    models.drafter.language.set_attn_implementation("eventspec_training")
    assert checked > 3
    assert max(count for _, count in rollouts.places.values()) <= DEPTH


def test_a_draft_reads_own_states_behind_the_first_miss_that_the_edge_hasnt_heard_of(states: Path) -> None:
    chunk, rollouts = next(load_chunks(states)), load_rollouts(states, 0)
    batch = make_batch(chunk, [0], 1)
    wrong = (batch.drafted != batch.ids)[0].nonzero()[:, 0].tolist()
    first = wrong[0]
    heard = drafts_of(chunk, rollouts, [0], batch, torch.tensor([first]), torch.tensor([first]))
    assert torch.equal(heard.batch.states[0, : first + 1], batch.states[0, : first + 1])
    assert not torch.equal(heard.batch.states[0, first + 1], batch.states[0, first + 1])
    later = drafts_of(chunk, rollouts, [0], batch, torch.tensor([first + 1]), torch.tensor([first + 1]))
    assert torch.equal(later.batch.states[0, first + 1], batch.states[0, first + 1])
    assert not later.drafted[0, : first + 1].any()


def test_guesses_in_rounds_are_those_of_the_runtime(states: Path) -> None:
    """As many rounds as positions give to the number what the cloud makes position by position."""
    chunk, rollouts = next(load_chunks(states)), load_rollouts(states, 0)
    torch.manual_seed(0)
    adapter = create_adapter("L5F", 32, 32, width=32)
    stir(adapter)
    assert isinstance(adapter.eval(), FusedAdapter)
    assert isinstance(adapter, FusedAdapter)
    batch, base = make_batch(chunk, [1], 1), 2
    drafts = drafts_of(chunk, rollouts, [1], batch, torch.tensor([base]), torch.tensor([base]))
    made = guess(adapter, drafts, rounds=8)[0].detach()
    answer = FusedAnswer(adapter)
    length = int(drafts.known.sum())
    answer.tell(0, drafts.batch.states[0, :length])
    answer.verify(0, batch.target[0, :base])
    torch.testing.assert_close(answer.draft(base, length), made[base:length], rtol=1e-3, atol=1e-4)


def test_training_on_served_drafts_resumes_to_the_bit(states: Path, models: Aligner, tmp_path: Path) -> None:
    recipe = Recipe("L5F", {"width": 32}, steps=4, batch=3, served=True)

    def trainer(out: Path) -> AdapterTrainer:
        return AdapterTrainer(recipe, states, models.target.lm_head, models.target.language.embed_tokens, out)

    trainer(tmp_path / "whole").run(lambda _: None)
    for _ in range(4):
        trainer(tmp_path / "parts").run(lambda _: None, limit=1)
    whole, parts = trainer(tmp_path / "whole"), trainer(tmp_path / "parts")
    assert whole.done
    assert all(torch.equal(a, b) for a, b in zip(whole.adapter.parameters(), parts.adapter.parameters(), strict=True))
    heads = Heads(models.target.lm_head, models.drafter.lm_head, models.target.language.embed_tokens)
    assert isinstance(whole.adapter, FusedAdapter)
    found = roll(states, whole.adapter.eval(), heads, 4, 3)
    assert len(found["heard_all_but_0"]["acceptance_by_depth"]) == 3
    begun = AdapterTrainer(
        Recipe("L5F", {"width": 32}, steps=4, batch=3, start=str(tmp_path / "whole")),
        states,
        models.target.lm_head,
        models.target.language.embed_tokens,
        tmp_path / "begun",
    )
    torch.testing.assert_close(begun.adapter.mix.weight, whole.adapter.mix.weight, atol=1e-3, rtol=1e-2)  # type: ignore[union-attr]


def test_without_continuations_it_says_what_to_do(states: Path, models: Aligner, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text((states / "index.json").read_text())
    with pytest.raises(SettingsError, match="eventspec-train rollouts"):
        ServedBatches(Batches(tmp_path, 2, 0), tmp_path, 0)
    with pytest.raises(ModelError, match="eventspec-train rollouts"):
        load_rollouts(tmp_path, 0)
