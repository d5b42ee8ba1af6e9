"""The cloud's half of adapters: what states become, what can't be used, what a row costs on the wire."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cloud.adapting import TargetAdapter
from cloud.runner import DraftStates, Work
from cloud.target import VideoLlavaTarget
from cloud.target_runner import TargetRunner
from common import codec
from common.adapters import create_adapter, save_adapter
from common.errors import MismatchError, ModelError
from common.prefix_hash import prefix_hash
from common.shipped import shipped_target
from common.types import Draft, SamplingParams, StateEncoding, Tensor
from tests.common.adapters.test_levels import stir


@pytest.fixture(scope="module")
def target() -> VideoLlavaTarget:
    return VideoLlavaTarget.from_pretrained(shipped_target())


def runner(target: VideoLlavaTarget, folder: Path, level: str, **sizes: int) -> TargetRunner:
    torch.manual_seed(0)
    adapter = create_adapter(level, 128, target.hidden_size, **sizes)
    stir(adapter)
    save_adapter(adapter, folder)
    loaded = TargetAdapter.from_folder(folder, dtype="float32", device="cpu")
    return TargetRunner(target, slots=2, capacity=200, adapter=loaded)


def states(rows: np.ndarray, position: int, context: int = 0, *, slot: int = 0, codes: bool = False) -> DraftStates:
    encoding = StateEncoding.CODES if codes else StateEncoding.STATES
    return DraftStates(slot, rows.astype(np.float32), encoding, context, position, SamplingParams())


def rows(count: int, width: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width))


def test_a_causal_adapter_across_drafts_equals_one_draft(target: VideoLlavaTarget, tmp_path: Path) -> None:
    one = runner(target, tmp_path, "L5")
    all_rows = rows(9)
    whole = one.draft_ids(states(all_rows, 0))
    assert len(set(whole)) > 2
    parts = one.draft_ids(states(all_rows[:4], 0, slot=1))
    parts += one.draft_ids(states(rows(3, seed=5), 4, slot=1))[:0]  # a draft that comes to nothing
    parts += one.draft_ids(states(all_rows[2:7], 4, context=2, slot=1))
    parts += one.draft_ids(states(all_rows[7:], 7, slot=1))
    assert parts == whole


def test_states_that_were_never_sent_make_no_draft(target: VideoLlavaTarget, tmp_path: Path) -> None:
    one = runner(target, tmp_path, "L5")
    assert one.draft_ids(states(rows(2), 3)) == []
    assert one.draft_ids(states(rows(2), 3, context=1)) == []
    one.draft_ids(states(rows(3), 0))
    assert len(one.draft_ids(states(rows(2), 3))) == 2
    one.close(0)
    assert one.draft_ids(states(rows(2), 3)) == [], "another session has the slot now"


def test_the_end_of_the_positions(target: VideoLlavaTarget, tmp_path: Path) -> None:
    one = runner(target, tmp_path, "L5", positions=4)
    assert len(one.draft_ids(states(rows(9), 0))) == 4
    assert one.draft_ids(states(rows(2), 4)) == []
    assert one.draft_ids(states(rows(9), 8, context=8)) == []
    assert len(one.draft_ids(states(rows(2), 2))) == 2


@pytest.mark.parametrize("level", ["L1", "L1S", "L3", "L4", "L5", "L5F"])
def test_huge_numbers_poison_nothing(target: VideoLlavaTarget, tmp_path: Path, level: str) -> None:
    one = runner(target, tmp_path, level)
    expected = one.draft_ids(states(rows(4), 0, slot=1))
    for size in (6.5e4, 1e20, 3e38, np.inf):
        one.draft_ids(states(np.full((3, 128), size) * np.sign(rows(3)), 0))
        assert one.draft_ids(states(rows(4), 0)) == expected


def test_codes_are_the_waist(target: VideoLlavaTarget, tmp_path: Path) -> None:
    one = runner(target, tmp_path, "L1S", width=16)
    assert one.state_widths[StateEncoding.CODES] == 16
    assert len(one.draft_ids(states(rows(3, 16), 0, codes=True))) == 3
    assert StateEncoding.CODES not in runner(target, tmp_path, "L1").state_widths


def test_without_an_adapter_only_the_targets_own_states_are_taken(target: VideoLlavaTarget) -> None:
    one = TargetRunner(target, slots=1, capacity=200)
    assert dict(one.state_widths) == {StateEncoding.TARGET: 256}
    assert one.adapter_fingerprint == ""


def test_what_doesnt_fit(target: VideoLlavaTarget, tmp_path: Path) -> None:
    save_adapter(create_adapter("L1", 128, 64), tmp_path / "narrow")
    narrow = TargetAdapter.from_folder(tmp_path / "narrow", dtype="float32", device="cpu")
    with pytest.raises(MismatchError, match="width 64, the target has 256"):
        TargetRunner(target, slots=1, capacity=200, adapter=narrow)
    save_adapter(create_adapter("tokens", vocab_size=640), tmp_path)
    with pytest.raises(ModelError, match="--draft-form mirror"):
        TargetAdapter.from_folder(tmp_path, dtype="float32", device="cpu")


def answer_of(one: TargetRunner, pieces: list[int]) -> list[int]:
    """Prefill a question without a video, then so many tokens a pass; returns what was chosen behind the last ones."""
    shape = one.open(0, "what moves?")
    one.encode(0, np.zeros((8, *one.pixels_shape), np.float32))
    tokens: list[int] = []
    start, prompt_stop = 0, shape.length
    for piece in pieces:
        fed = tuple([40 + i for i in range(len(tokens), len(tokens) + piece)])
        known = start - shape.length + 1 if start else 0
        work = Work(0, start, max(start, prompt_stop), fed, piece + (start == 0), known, SamplingParams())
        one.forward([work])
        tokens += fed
        start = shape.length + len(tokens)
    return tokens


@pytest.mark.parametrize("pieces", [[0, 1, 1, 1, 1], [0, 4], [4], [2, 2]])
def test_the_target_hands_its_states_over_whatever_the_passes(
    target: VideoLlavaTarget, tmp_path: Path, pieces: list[int]
) -> None:
    """One token a pass, a draft at once, or all of it with the prompt after a resume: the drafts are the same."""
    drafted: list[list[int]] = []
    for shape in ([0, 1, 1, 1, 1], pieces):
        one = runner(target, tmp_path, "L5F", positions=32)
        assert one.redrafts
        answer_of(one, shape)
        given = states(rows(7), 0)
        drafted.append(one.draft_ids(replace(given, committed=4)))
        assert one.redraft(0, 4, 2, SamplingParams()) == drafted[-1][:2]
        assert one.redraft(0, 5, 9, SamplingParams()) != drafted[-1][1:]
    assert drafted[0] == drafted[1]
    assert len(drafted[0]) == 3


def test_states_that_come_before_the_prompt_has_run_wait_for_it(target: VideoLlavaTarget, tmp_path: Path) -> None:
    """An engine that takes an answer over knows what is committed before it has the target's states of it."""
    one = runner(target, tmp_path, "L5F", positions=6)
    early = replace(states(rows(9), 4, context=4), committed=4)
    assert one.draft_ids(early) == [0, 0]
    assert one.redraft(0, 4, 2, SamplingParams()) == []
    answer_of(one, [4])
    assert len(one.redraft(0, 4, 5, SamplingParams())) == 2
    assert one.draft_ids(replace(states(np.full((9, 128), 3e38), 4, context=4), committed=4)) == []


def test_drafts_for_what_is_settled_are_left_out(target: VideoLlavaTarget, tmp_path: Path) -> None:
    one = runner(target, tmp_path, "L5F", positions=32)
    answer_of(one, [0, 1, 1, 1])
    late = replace(states(rows(5), 0), committed=3)
    assert len(one.draft_ids(late)) == 2
    more = replace(states(rows(2, seed=1), 5), committed=3)
    assert len(one.draft_ids(more)) == 2
    assert len(one.redraft(0, 3, 9, SamplingParams())) == 4
    assert one.draft_ids(replace(states(rows(2), 9), committed=3)) == [], "positions between are missing"
    one.close(0)
    assert one.redraft(0, 3, 9, SamplingParams()) == []


@pytest.mark.parametrize("count", [1, 4, 16])
def test_codes_take_at_most_300_bytes_a_token(count: int) -> None:
    """At 4096 the waist is 256 wide; everything that goes over the wire counts."""
    draft = Draft(
        draft_id=100,
        epoch=1,
        base_position=300,
        prefix_hash=prefix_hash([1, 2, 3]),
        hidden_states=Tensor("int8", (count, 256), bytes(256 * count)),
        scales=Tensor("float16", (count,), bytes(2 * count)),
        encoding=StateEncoding.CODES,
        follows=99,
    )
    assert len(codec.encode_edge_message(draft)) <= 300 * count
