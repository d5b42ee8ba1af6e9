"""Questions point at one thing, and their answers follow from the scene: derived here again, by reading them."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import Tokenizer

from training.tokenizer import BOS, EOS, TABLE_ROWS, VOCABULARY
from training.world.phrases import acts, name, word_class
from training.world.questions import KINDS, Question, ask, sample_questions
from training.world.scenes import COLOURS, SHAPES, SIZES, Scene, Thing, sample_scene

SCENES = [sample_scene(seed) for seed in range(250)]
REFERENCE = re.compile(
    r"\bthe (?:(small|large) )?(?:(red|green|blue|yellow|purple|cyan) )?(object|circle|square|triangle|cross)\b"
    r"(?: that (stands still|moves (\w+)))?"
)
POINTING = ("colour", "shape", "size", "direction", "speed", "act", "place")


def every(kind: str) -> list[tuple[Scene, Question]]:
    rng = np.random.default_rng(5)
    return [(scene, question) for scene in SCENES if (question := ask(scene, kind, rng)) is not None]


def meant(scene: Scene, text: str) -> Thing:
    """The one thing that fits the words of the question."""
    match = REFERENCE.search(text)
    assert match, text
    size, colour, noun, act, way = match.groups()

    def fits(thing: Thing) -> bool:
        return (
            (size is None or thing.size == size)
            and (colour is None or thing.colour == colour)
            and (noun == "object" or thing.shape == noun)
            and (act is None or (way in (thing.motion, thing.speed) if way else thing.motion is None))
        )

    found = [thing for thing in scene.things if fits(thing)]
    assert len(found) == 1, (text, scene)
    return found[0]


@pytest.mark.parametrize("kind", POINTING)
def test_a_question_points_at_one_thing_and_the_answer_is_true_of_it(kind: str) -> None:
    for scene, question in every(kind):
        thing = meant(scene, question.text)
        assert scene.things[question.about] == thing
        words = re.findall(r"[a-z]+", question.answer.lower())
        for family, own in ((COLOURS, thing.colour), (SHAPES, thing.shape), (SIZES, thing.size)):
            assert {word for word in words if word in family} <= {own}
        if "moves" in words:
            assert {word for word in words if word_class(word) == "speed"} <= {thing.speed}
            assert {word for word in words if word in ("right", "up", "down")} <= {thing.motion}
        elif "stands" in words:
            assert thing.motion is None
        secret = {"colour": thing.colour, "shape": thing.shape, "size": thing.size}.get(kind)
        if secret:
            assert secret in words
            assert secret not in re.findall(r"[a-z]+", question.text.replace("small or large", "").lower())


def test_places_are_where_the_thing_is() -> None:
    for scene, question in every("place"):
        thing = meant(scene, question.text)
        x, y = thing.at(2.0 if "end" in question.answer else 0.0)
        corner = f"{'upper' if y < 40 else 'lower'} {'left' if x < 40 else 'right'}"
        assert question.answer.endswith(f"in the {corner}.")


def test_counts() -> None:
    words = {"no": 0, "one": 1, "two": 2, "three": 3}
    for scene, question in every("count_all"):
        assert words[question.answer.split()[2]] == len(scene.things)
    for scene, question in every("count_moving"):
        assert words[question.answer.split()[0].lower()] == sum(bool(thing.motion) for thing in scene.things)


@pytest.mark.parametrize("kind", ["describe", "story", "moving", "still", "appears", "leaves", "fastest"])
def test_lists_name_the_right_things_from_left_to_right(kind: str) -> None:
    wanted: dict[str, Callable[[Thing], bool]] = {
        "describe": lambda thing: True,
        "story": lambda thing: True,
        "moving": lambda thing: thing.motion is not None,
        "still": lambda thing: thing.motion is None,
        "appears": lambda thing: thing.appears is not None,
        "leaves": lambda thing: thing.leaves is not None,
        "fastest": lambda thing: False,
    }
    for scene, question in every(kind):
        named = re.findall(r"(?:small|large) \w+ (?:circle|square|triangle|cross)", question.answer)
        if kind == "fastest":
            quickest = max(scene.things, key=lambda thing: abs(thing.vx) + abs(thing.vy))
            assert named == [name(quickest)]
        else:
            assert named == [name(thing) for thing in scene.things if wanted[kind](thing)]
        if kind in ("describe", "story"):
            assert all(acts(thing) in question.answer for thing in scene.things)


def test_yes_no() -> None:
    for scene, question in every("yes_no"):
        word = question.text.removesuffix("?").removesuffix(" object").split()[-1]
        true = any(word in (thing.motion, thing.colour, thing.shape) for thing in scene.things)
        assert question.answer.startswith("Yes, " if true else "No, ")


def test_questions_are_a_function_of_scene_and_seed() -> None:
    for scene in SCENES[:20]:
        drawn = [sample_questions(scene, 8, np.random.default_rng(9)) for _ in range(2)]
        assert drawn[0] == drawn[1]
        assert len({question.text for question in drawn[0]}) == 8


def test_the_tokenizer_says_the_world_back_in_few_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == VOCABULARY
    assert (tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")) == (BOS, EOS)
    assert TABLE_ROWS % 64 == 0
    rng = np.random.default_rng(1)
    lengths = []
    for scene in SCENES[:60]:
        for kind in KINDS:
            question = ask(scene, kind, rng)
            if question:
                ids = tokenizer.encode(question.answer).ids
                assert tokenizer.decode(ids) == question.answer
                lengths.append(len(ids) + 1)
    assert min(lengths) <= 5
    assert 35 <= max(lengths) <= 60
    unheard = "Où est le zèbre 7?"
    assert tokenizer.decode(tokenizer.encode(unheard).ids) == unheard
