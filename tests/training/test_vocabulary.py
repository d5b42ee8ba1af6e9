"""The other drafter: its tokenizer, the rows that it starts from, training that goes on, and what is shipped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import ModelError
from common.shipped import shipped_drafter, shipped_other_drafter, shipped_target
from common.tokenizer import Tokenizer
from common.types import SamplingParams
from common.vocabulary import Spelling
from edge.drafter import Drafter
from edge.drafter_model import DrafterModel
from edge.eventgpt import EventGPT, prompt_ids
from edge.eventgpt.loading import TOWER_FROM
from edge.vocabulary import Way
from training.data.batches import Pair
from training.evaluation.cases import held_out
from training.export import load_exported
from training.loop import Trainer
from training.models import TargetLearner
from training.tokenizer import pair_tokenizer
from training.vocabulary.drafter import OTHER_PLAN, OtherLearner, load_other, other_trainer
from training.vocabulary.measure import SHARED, compare, models_of
from training.vocabulary.packing import pack_other
from training.vocabulary.shards import Respelled
from training.vocabulary.tokenizer import BOS, EOS, VOCABULARY, build_other_tokenizer, save_tokenizer
from training.vocabulary.transplant import transplant

PLAN = [replace(OTHER_PLAN[0], steps=3, batch=4)]


def begun(data: Path, folder: Path) -> Trainer:
    """A trainer of the other drafter that has its tokenizer already."""
    folder.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(shipped_other_drafter() / name, folder)
    return other_trainer(data, folder, 0, PLAN)


@pytest.fixture(scope="module")
def known() -> Tokenizer:
    return Tokenizer.from_folder(shipped_drafter())


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("other")
    save_tokenizer(build_other_tokenizer(), folder)
    return Tokenizer.from_folder(folder)


def test_the_tokenizer_is_the_shipped_one_and_unlike_the_pairs(wanted: Tokenizer, known: Tokenizer) -> None:
    assert wanted.hash == Tokenizer.from_folder(shipped_other_drafter()).hash
    assert wanted.hash != known.hash
    assert (wanted.bos_id, wanted.eos_id, wanted.vocab_size) == (BOS, EOS, VOCABULARY)
    text = "The circle stands still.\nAnd café."
    assert wanted.decode(wanted.encode(text, bos=True)) == text
    pieces = Spelling(wanted).pieces
    assert b" still." in pieces
    assert b" still." not in Spelling(known).pieces


def test_a_new_row_is_the_mean_of_the_rows_that_spelled_it(wanted: Tokenizer, known: Tokenizer) -> None:
    old = EventGPT.from_pretrained(shipped_drafter())
    new = transplant(old, known, wanted, VOCABULARY)
    (still,) = [index for index, data in enumerate(Spelling(wanted).pieces) if data == b" still."]
    parts = Spelling(known).spell(b" still.")
    assert parts is not None and len(parts) == 2
    for table, source in ((new.model.embed_tokens, old.model.embed_tokens), (new.lm_head, old.lm_head)):
        assert table.weight[still].equal(source.weight[parts].mean(0))
        assert table.weight[EOS].equal(source.weight[known.eos_id or 0])
        assert table.weight.shape[0] == VOCABULARY
    assert new.config.eos_token_ids == {EOS}
    same = [key for key in old.state_dict() if "embed_tokens" not in key and "lm_head" not in key]
    assert all(new.state_dict()[key].equal(old.state_dict()[key]) for key in same)


def test_pairs_keep_their_text(wanted: Tokenizer, known: Tokenizer) -> None:
    prompt, answer = known.encode("What moves?", bos=False), [*known.encode("It stands still.", bos=False), 2]
    pair = Respelled(known, wanted)(Pair(prompt, answer, {1: 0}, 3))
    assert wanted.decode(pair.prompt) == "What moves?"
    assert wanted.decode(pair.answer) == "It stands still."
    assert pair.answer[-1] == EOS
    assert len(pair.answer) < len(answer)


def test_training_goes_on_and_leaves_the_eyes_alone(data: Path, tmp_path: Path) -> None:
    whole = begun(data, tmp_path / "whole")
    tower = {k: v.clone() for k, v in whole.learner.state_dict().items() if "visual_tower" in k}
    losses: list[float] = []
    whole.run(lambda report: losses.append(report.loss), limit=3)
    first = begun(data, tmp_path / "halves")
    first.run(lambda report: None, limit=1)
    second = begun(data, tmp_path / "halves")
    assert second.step == 1
    second.run(lambda report: None, limit=2)
    a, b = whole.learner.state_dict(), second.learner.state_dict()
    assert all(a[key].equal(b[key]) for key in a)
    assert all(a[key].equal(value) for key, value in tower.items())
    assert losses[-1] < losses[0]
    loaded = load_other(tmp_path / "halves")
    assert isinstance(loaded, OtherLearner)
    assert loaded.lm_head.weight.equal(a["model.lm_head.weight"])


def test_what_is_shipped_has_its_eyes_from_the_drafter_beside_it(tmp_path: Path) -> None:
    folder = shipped_other_drafter()
    stored = load_file(folder / "model.safetensors")
    assert not any("visual_tower" in key for key in stored)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1.5e6
    other, drafter = EventGPT.from_pretrained(folder), EventGPT.from_pretrained(shipped_drafter())
    tower, eyes = other.model.visual_tower.state_dict(), drafter.model.visual_tower.state_dict()
    assert all(tower[key].equal(eyes[key]) for key in eyes)
    assert other.vocab_size == VOCABULARY
    values = json.loads((folder / "config.json").read_text())
    for name, message in (("nowhere", "nowhere"), ("../drafter", "beside this one"), (3, "beside this one")):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / "config.json").write_text(json.dumps({**values, TOWER_FROM: name}))
        save_file(stored, tmp_path / "one" / "model.safetensors")
        with pytest.raises(ModelError, match=message):
            EventGPT.from_pretrained(tmp_path / "one")


def test_a_tower_of_its_own_is_not_left_out(tmp_path: Path, data: Path) -> None:
    trainer = begun(data, tmp_path / "run")
    with torch.no_grad():
        next(trainer.learner.model.model.visual_tower.parameters()).add_(1.0)
    trainer.save()
    (tmp_path / "drafter").symlink_to(shipped_drafter())
    with pytest.raises(ModelError, match="vision tower"):
        pack_other(tmp_path / "run", tmp_path / "packed", "drafter")


def test_figures_of_both_ways(known: Tokenizer) -> None:
    """Held-out scenes until somebody stops it: by text it is nearly as good as the pair; what it says is counted."""

    def stop(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    target = load_exported("target", shipped_target())
    assert isinstance(target, TargetLearner)
    folders = (shipped_drafter(), shipped_other_drafter())
    shared, other = (DrafterModel(f.name, EventGPT.from_pretrained(f), Tokenizer.from_folder(f)) for f in folders)
    models = models_of(shared, other, known, list(Way))
    tallies = compare(target, known, models, 50, stop)
    tokens = {tally.tokens for tally in tallies.values()}
    assert len(tokens) == 1 and tokens.pop() > 200
    assert tallies["text"].acceptance > 0.75
    assert tallies[SHARED].acceptance > 0.75
    for tally in tallies.values():
        values = tally.as_json()["by_draft_length"]
        assert 1.0 < values["3"]["tokens_a_verification"] <= values["8"]["tokens_a_verification"] <= 9.0
        assert all(tally.accepted[n] <= tally.drafted[n] for n in tally.passes)
        assert tally.said[8] > 0 and tally.seconds[8] > 0


def test_the_other_drafter_answers_alone_in_its_own_words() -> None:
    folder = shipped_other_drafter()
    model, words = EventGPT.from_pretrained(folder), Tokenizer.from_folder(folder)
    case = next(held_out(1, pair_tokenizer()))
    drafter = Drafter(model, sampling=SamplingParams(), vocab_size=words.vocab_size)
    features = model.encode_pixels(case.events[None])[0]
    drafter.prefill(prompt_ids(case.questions[0].text, words, model.config.prompt_template), features=features.detach())
    ids = drafter.draft(40)
    assert ids[-1] == EOS
    assert words.decode(ids).endswith(".")
