"""Extracted states are those of the runtime, aligned, and whole after a kill."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from common.errors import ModelError, SettingsError
from common.packed import use_packed_attention
from edge.drafter import Drafter
from edge.eventgpt.prompt import EVENT_PLACEHOLDER
from tests.training.samples import micro
from training.alignment.chunks import Sample, load_chunks, read_index
from training.alignment.extraction import extract
from training.alignment.sources import GeneratedSource, HeldOutSource, Material, ShardSource, Source
from training.alignment.states import Aligner, improved
from training.data.batches import Pair
from training.evaluation.cases import Case
from training.evaluation.target import _generate
from training.models import DrafterLearner, TargetLearner
from training.objective import prefix_of
from training.tokenizer import EOS


def aligner(tokenizer: Tokenizer, layers: int = 0) -> Aligner:
    target, drafter = micro("target").eval(), micro("drafter", seed=1).eval()
    assert isinstance(target, TargetLearner)
    assert isinstance(drafter, DrafterLearner)
    return Aligner(target, drafter, (prefix_of(target, tokenizer), prefix_of(drafter, tokenizer)), layers)


class Few:
    """A source of two scenes with short questions."""

    about: dict[str, Any] = {"source": "few"}  # noqa: RUF012

    def __len__(self) -> int:
        return 2

    def questions(self, index: int) -> int | None:
        return 3

    def scenes(self, start: int) -> Iterator[Material]:
        for seed in range(start, 2):
            torch.manual_seed(seed)
            pairs = tuple(Pair([11 + seed, 12, at], [14, 15, EOS], about={5: 0}) for at in (31, 32, 33))
            yield Material(seed, torch.randn(8, 3, 56, 56), torch.randn(5, 3, 56, 56), pairs)


def test_the_answer_is_the_targets_own(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.alignment.states.MAX_ANSWER", 7)
    monkeypatch.setattr("training.evaluation.target.MAX_ANSWER", 7)
    both = aligner(tokenizer)
    scene = next(Few().scenes(0))
    for sample, pair in zip(both.samples(scene), scene.pairs, strict=True):
        case = Case(None, (), (pair,), scene.video, scene.events)  # type: ignore[arg-type]
        both.target.language.set_attn_implementation("sdpa")
        assert list(sample.target_ids) == _generate(both.target, both.prefixes[0], case, pair.prompt)
        assert sample.target_hidden.shape == (len(sample.target_ids), 32)


def test_the_drafters_states_are_those_it_drafts_from(tokenizer: Tokenizer) -> None:
    both = aligner(tokenizer, layers=2)
    scene = next(Few().scenes(0))
    sample = both.samples(scene)[0]
    model = both.drafter.model.eval()
    use_packed_attention(model.model)
    drafter = Drafter(model, vocab_size=576)
    prefix = both.prefixes[1]
    features = both.drafter.features(scene.events[None])[0]
    drafter.prefill([*prefix.before, EVENT_PLACEHOLDER, *prefix.after, *sample.prompt], features=features)
    for at, token in enumerate(sample.target_ids[:6]):
        assert drafter.draft(1) == [sample.drafter_ids[at]]
        torch.testing.assert_close(drafter.hidden_states[0], sample.drafter_hidden[at], atol=2e-5, rtol=1e-3)
        drafter.commit(at, [token])
    assert sample.drafter_layers is not None
    assert torch.equal(sample.drafter_layers[:, 1], sample.drafter_hidden)


@pytest.mark.parametrize(
    ("guess", "chosen", "better"),
    [
        ([5, 6, EOS], [5, 6, EOS], None),
        ([5, 6, EOS], [5, 7, 8], [5, 7, 8, EOS]),
        ([5, 6, 9, EOS], [5, EOS, 3, 4], [5, EOS]),
        ([5, 6], [5, 6], [5, 6, EOS]),
    ],
)
def test_guesses_get_better(guess: list[int], chosen: list[int], better: list[int] | None) -> None:
    assert improved(guess, chosen) == better


def run(source: Source, both: Aligner, folder: Path, size: int = 4) -> list[int]:
    seen: list[int] = []
    extract(source, both, folder, size, lambda _, samples: seen.append(samples))
    return seen


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.alignment.states.MAX_ANSWER", 6)
    both = aligner(tokenizer)
    run(Few(), both, tmp_path / "whole")

    class Stops(Few):
        def scenes(self, start: int) -> Iterator[Material]:
            for scene in super().scenes(start):
                yield scene
                if scene.seed == 1:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Stops(), both, tmp_path / "parts")
    assert read_index(tmp_path / "parts").samples == 4
    assert not read_index(tmp_path / "parts").done
    (tmp_path / "parts" / "chunk-00001.safetensors.part").write_bytes(b"half")
    run(Few(), both, tmp_path / "parts")
    for path in sorted((tmp_path / "whole").iterdir()):
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()
    chunks = list(load_chunks(tmp_path / "whole"))
    assert [len(chunk) for chunk in chunks] == [4, 2]
    assert chunks[0].padded("target_hidden").shape[:2] == chunks[0].mask().shape
    assert run(Few(), both, tmp_path / "whole") == []


def test_a_kill_loses_at_most_one_chunk(tmp_path: Path) -> None:
    code = (
        "from tests.training.test_extraction import *\nfrom training.tokenizer import pair_tokenizer\n"
        "import torch, sys; torch.set_num_threads(1)\n"
        "import training.alignment.states as states; states.MAX_ANSWER = 6\n"
        "extract(GeneratedSource(pair_tokenizer(), 500, 4), aligner(pair_tokenizer()), Path(sys.argv[1]), 8,\n"
        "        lambda scene, samples: print(samples, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = 0
    while seen < 30:
        seen = int(process.stdout.readline())
    process.kill()
    seen = max([seen, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    index = read_index(tmp_path)
    assert index.samples >= seen - 8
    assert sum(len(chunk) for chunk in load_chunks(tmp_path)) == index.samples


class Many(Few):
    """The same two scenes over and over."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def scenes(self, start: int) -> Iterator[Material]:
        for at in range(start, self.count):
            scene = next(super().scenes(at % 2))
            yield Material(at, scene.video, scene.events, scene.pairs)


def test_memory_does_not_grow_with_the_samples(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of all tensors alive, at their most, with three times the samples in chunks of the same size."""
    monkeypatch.setattr("training.alignment.states.MAX_ANSWER", 6)
    both, peaks = aligner(tokenizer), list[int]()
    gc.collect()
    before = _tensor_bytes()  # other tests' and the models'
    for count, chunk in ((2, 6), (6, 6), (6, 18)):
        alive: list[int] = []
        into = tmp_path / f"{count}-{chunk}"
        extract(Many(count), both, into, chunk, lambda *_, alive=alive: alive.append(_tensor_bytes()))
        peaks.append(max(alive) - before)
    twelve = 12_000  # bytes, at least, of the twelve samples that a chunk of eighteen holds beyond one of six
    assert peaks[1] < peaks[0] + twelve // 4
    assert peaks[2] > peaks[0] + twelve, "a chunk that holds all is seen"
    assert read_index(tmp_path / "6-6").samples == 3 * read_index(tmp_path / "2-6").samples == 18


def _tensor_bytes() -> int:
    found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in _tensors()}
    return sum(found.values())


def _tensors() -> Iterator[torch.Tensor]:
    return (one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter))


def test_sources_agree(tokenizer: Tokenizer, data: Path) -> None:
    shards, drawn = ShardSource(data, 2, 24), GeneratedSource(tokenizer, 2, 24)
    ours, theirs = list(shards.scenes(1)), list(drawn.scenes(1))
    np.testing.assert_allclose(ours[0].events, theirs[0].events)
    assert {tuple(pair.prompt) for pair in ours[0].pairs} == {tuple(pair.prompt) for pair in theirs[0].pairs}
    assert len(list(HeldOutSource(tokenizer, 1).scenes(0))) == 1


def test_other_settings_and_broken_folders_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="eventspec-train extract"):
        read_index(tmp_path)
    both = aligner(tokenizer)
    extract(GeneratedSource(tokenizer, 1, 1), both, tmp_path, 4, lambda *_: None)
    with pytest.raises(SettingsError, match="another --out"):
        extract(GeneratedSource(tokenizer, 2, 1), both, tmp_path, 4, lambda *_: None)
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(ModelError, match="extract again"):
        read_index(tmp_path)


def test_extraction_costs_little_more_than_the_forwards(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Measured on the shipped pair's sizes in `docs/alignment.md`; here the writer alone, at those sizes."""
    from training.alignment.chunks import ChunkWriter

    writer = ChunkWriter(tmp_path, {}, 1000)
    hidden = torch.randn(12, 256)
    sample = Sample(0, (1,) * 8, (5,) * 12, (5,) * 12, hidden, hidden[:, :128])
    began = time.perf_counter()
    for at in range(1000):
        writer.add(sample, (at, 0))
    assert time.perf_counter() - began < 1.0  # the forwards of 1,000 samples take 20 to 40 s
