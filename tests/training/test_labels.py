"""What training is told beside answers: the fate of each thing, numbers, and which questions come first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tests.training.samples import micro
from training.data.batches import Pair, Shards, pack_pairs
from training.data.labels import CORNERS, THING_FIELDS, thing_labels
from training.data.naming import names_of
from training.data.shards import GROUPS, group_of, seen_frames
from training.heads import bind_loss, fate_heads, number_heads, number_loss, recall_heads, recall_loss
from training.world.questions import KINDS, Question, ask
from training.world.render import frame_times
from training.world.scenes import Scene, Thing, sample_scene

TIMES = frame_times()[seen_frames()]
LEAVER = Thing("red", "circle", "small", "right", "quickly", 0.25, 10.0, 10.0, 20.0, 0.0, leaves=1.3)
RESTING = Thing("blue", "cross", "large", None, None, 0.25, 60.0, 65.0, 0.0, 0.0, appears=0.5)


def labelled(*things: Thing) -> list[dict[str, int]]:
    rows = thing_labels(Scene(0, things, 0.07, (0.0, 0.0)), TIMES)
    assert rows.shape == (3, len(THING_FIELDS))
    assert (rows[len(things) :] == -1).all()
    return [dict(zip(THING_FIELDS, map(int, row), strict=True)) for row in rows[: len(things)]]


def test_labels_say_how_a_thing_begins_and_ends() -> None:
    leaver, resting = labelled(LEAVER, RESTING)
    assert (leaver["left"], leaver["appeared"], resting["left"], resting["appeared"]) == (1, 0, 0, 1)
    assert (leaver["rank"], resting["rank"]) == (0, 1)
    assert [CORNERS[leaver[end]] for end in ("start", "end")] == ["upper left", None]  # leaves at x = 36
    assert [CORNERS[resting[end]] for end in ("start", "end")] == ["lower right"] * 2
    assert (leaver["patch"], resting["patch"]) == (1, 15)  # last seen at x = 31, which is in the second patch


def test_a_place_that_another_thing_took_recalls_the_other() -> None:
    follower = replace(LEAVER, shape="square", x=0.0, leaves=None, vx=15.0)
    leaver, after = labelled(LEAVER, follower)
    assert (leaver["patch"], after["patch"]) == (-1, 1)


def test_labels_of_corners_are_what_is_answered() -> None:
    rng = np.random.default_rng(2)
    asked = 0
    for seed in range(300):
        scene = sample_scene(seed)
        question = ask(scene, "place", rng)
        if question is not None:
            asked += 1
            field = "end" if " ends in " in question.answer else "start"
            row = dict(zip(THING_FIELDS, thing_labels(scene, TIMES)[question.about], strict=True))
            assert question.answer.endswith(f"the {CORNERS[row[field]]}.")
    assert asked > 150


def test_names_that_two_things_share_are_no_names() -> None:
    rows = thing_labels(Scene(0, (LEAVER, RESTING, LEAVER), 0.07, (0.0, 0.0)), TIMES)
    assert list(names_of(rows).values()) == [1]
    assert list(names_of(rows[:2]).values()) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "answer", "number", "group"),
    [
        ("yes_no", "Yes, two objects are red.", 2, "several"),
        ("yes_no", "Yes, one object is red.", 1, "yes_no"),
        ("yes_no", "No, nothing is red.", 0, "yes_no"),
        ("count_moving", "No object moves.", 0, "count_moving"),
        ("count_all", "There are three objects.", 3, "count_all"),
        ("describe", "There is one object: a small red circle that stands still.", -1, "describe"),
    ],
)
def test_numbers_are_those_of_the_answers(kind: str, answer: str, number: int, group: str) -> None:
    question = Question(kind, "?", answer)
    assert question.number == number
    assert GROUPS[group_of(question)] == group


def test_every_answer_with_a_number_has_one() -> None:
    rng = np.random.default_rng(3)
    for seed in range(100):
        for kind in KINDS:
            question = ask(sample_scene(seed), kind, rng)
            assert question is None or (question.number >= 0) == (kind in ("yes_no", "count_all", "count_moving"))


def test_favoured_questions_come_first(data: Path) -> None:
    shards = Shards(data, "frames")

    def front(favour: dict[str, float]) -> float:
        orders = (shards.pairs(scene, np.random.default_rng(scene), favour) for scene in range(len(shards)))
        return float(np.mean([np.mean([pair.number >= 0 for pair in order[:1]]) for order in orders]))

    numbers = ("yes_no", "several", "count_all", "count_moving")
    assert front(dict.fromkeys(numbers, 1e6)) == 1.0
    assert front(dict.fromkeys(numbers, 1e-6)) < 0.2
    plain, other = (shards.pairs(0, np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(map(repr, plain)) == sorted(map(repr, other))


def test_a_question_for_a_number_is_labelled_where_it_ends() -> None:
    text = pack_pairs([[Pair([5, 6], [7, 2]), Pair([5, 6, 7], [8, 2], number=3)]], room=12)
    assert text.number[0].tolist() == [-1] * 6 + [3] + [-1] * 5


def read(loss: torch.Tensor, states: torch.Tensor) -> list[list[bool]]:
    """Which of the states [B, n, hidden] the loss depends on."""
    (slope,) = torch.autograd.grad(loss, states)
    found: list[list[bool]] = (slope.abs().sum(-1) > 0).tolist()
    return found


def test_losses_read_the_states_they_are_about(tokenizer: Tokenizer) -> None:
    learner = micro("target")
    rows = np.stack([thing_labels(Scene(0, (LEAVER, RESTING), 0.07, (0.0, 0.0)), TIMES)] * 2)
    things = torch.from_numpy(rows.astype(np.int64))
    about = torch.tensor([[-1, 1, -1], [0, -1, -1]])
    hidden = torch.randn(2, 3, 32, requires_grad=True)
    assert read(bind_loss(fate_heads(learner), hidden, about, things[..., 7:-1]), hidden) == (about >= 0).tolist()
    numbers = torch.tensor([[-1, -1, 2], [-1, -1, -1]])
    assert read(number_loss(number_heads(learner), hidden, numbers), hidden) == (numbers >= 0).tolist()
    assert float(number_loss(number_heads(learner), hidden, torch.full((2, 3), -1))) == 0.0
    patches = torch.randn(2, 16, 32, requires_grad=True)
    assert read(recall_loss(recall_heads(learner), patches, things), patches) == [[True] * 16] * 2
