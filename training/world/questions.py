"""Questions about a scene and their only right answers.

Every kind of question is a function from a scene (and a generator that picks wording and thing) to a
question with its answer, or to None where the scene has no unambiguous question of this kind. The answer is
a function of the scene, the wording and the thing that is asked about. Lists go from left to right, by
where things are first seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.world.phrases import NUMBERS, acts, capital, joined, name, references
from training.world.scenes import COLOURS, DIRECTIONS, DURATION, SENSOR, SHAPES, Scene, Thing

_MARGIN = 6.0  # a thing closer to a middle line than this is in no corner


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its answer. `kind` names the type; `about` is the thing it points at, -1 if none."""

    kind: str
    text: str
    answer: str
    about: int = -1

    @property
    def number(self) -> int:
        """How many things the answer says there are, move, or are such; -1 where it says no number."""
        if self.kind not in ("yes_no", "count_all", "count_moving"):
            return -1
        words = self.answer.lower().replace(",", "").split()
        return next(NUMBERS.index(word) for word in words if word in NUMBERS)


Made = tuple[str, str] | tuple[str, str, Thing]
"""Question, answer, and the thing that the question points at."""
Maker = Callable[[Scene, np.random.Generator], Made | None]


def _pick(rng: np.random.Generator, options: list[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _target(scene: Scene, rng: np.random.Generator, hide: Callable[[Thing], str] | None) -> tuple[Thing, str] | None:
    """A thing and an unambiguous way to point at it that doesn't give away `hide(thing)`."""
    for index in rng.permutation(len(scene.things)):
        thing = scene.things[int(index)]
        options = references(scene, thing, hide(thing) if hide else "")
        if options:
            return thing, _pick(rng, options)
    return None


def _colour(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, lambda thing: thing.colour)
    if found is None:
        return None
    thing, ref = found
    if rng.random() < 0.5:
        return f"Name the colour of {ref}.", f"It is {thing.colour}.", thing
    text = _pick(rng, [f"What colour is {ref}?", f"Which colour does {ref} have?"])
    return text, f"The {thing.shape} is {thing.colour}.", thing


def _shape(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, lambda thing: thing.shape)
    if found is None:
        return None
    thing, ref = found
    if rng.random() < 0.5:
        return f"Name the shape of {ref}.", f"It is a {thing.shape}.", thing
    text = _pick(rng, [f"What shape is {ref}?", f"Which shape does {ref} have?"])
    return text, f"The {thing.size} {thing.colour} object is a {thing.shape}.", thing


def _size(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, lambda thing: thing.size)
    if found is None:
        return None
    thing, ref = found
    if rng.random() < 0.5:
        return f"Is {ref} small or large?", f"It is {thing.size}.", thing
    return f"How big is {ref}?", f"The {thing.colour} {thing.shape} is {thing.size}.", thing


def _direction(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, lambda thing: thing.motion or "still")
    if found is None:
        return None
    thing, ref = found
    act = f"moves {thing.motion}" if thing.motion else "stands still"
    if rng.random() < 0.4:
        return f"In which direction does {ref} go?", f"It {act}.", thing
    text = _pick(rng, [f"Which way does {ref} move?", f"Where does {ref} go?"])
    return text, f"The {name(thing)} {act}.", thing


def _speed(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, lambda thing: thing.speed or "still")
    if found is None:
        return None
    thing, ref = found
    act = f"moves {thing.speed}" if thing.speed else "stands still"
    if rng.random() < 0.4:
        return f"At what speed does {ref} move?", f"It {act}.", thing
    return _pick(rng, [f"How fast is {ref}?", f"How fast does {ref} move?"]), f"The {name(thing)} {act}.", thing


def _act(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, lambda thing: thing.motion or "still")
    if found is None:
        return None
    thing, ref = found
    return _pick(rng, [f"What does {ref} do?", f"What happens to {ref}?"]), f"The {name(thing)} {acts(thing)}.", thing


def corner(thing: Thing, time: float) -> str | None:
    """The corner that it is in at `time`, as words; None near a middle line."""
    x, y = thing.at(time)
    if min(abs(x - SENSOR / 2), abs(y - SENSOR / 2)) < _MARGIN:
        return None
    return f"{'upper' if y < SENSOR / 2 else 'lower'} {'left' if x < SENSOR / 2 else 'right'}"


def _place(scene: Scene, rng: np.random.Generator) -> Made | None:
    found = _target(scene, rng, None)
    if found is None:
        return None
    thing, ref = found
    end = bool(rng.random() < 0.5)
    if thing.leaves is not None if end else thing.appears is not None:
        return None
    where = corner(thing, DURATION if end else 0.0)
    if where is None:
        return None
    if end:
        text = _pick(rng, [f"Where is {ref} at the end?", f"Where does {ref} end?"])
        return text, f"The {name(thing)} ends in the {where}.", thing
    text = _pick(rng, [f"Where is {ref} at the start?", f"Where does {ref} start?"])
    return text, f"The {name(thing)} starts in the {where}.", thing


def _count_moving(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    count = sum(thing.motion is not None for thing in scene.things)
    subject = f"{capital(NUMBERS[count])} {'objects move' if count > 1 else 'object moves'}"
    return _pick(rng, ["How many objects move?", "How many things are moving?"]), f"{subject}."


def _count_all(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    count = len(scene.things)
    there = f"There {'are' if count > 1 else 'is'} {NUMBERS[count]} {'objects' if count > 1 else 'object'}"
    return _pick(rng, ["How many objects are there?", "Count the objects in the clip."]), f"{there}."


def _list(things: list[Thing], act: Callable[[Thing], str], nothing: str) -> str:
    if not things:
        return nothing
    return capital(joined([f"the {name(thing)} {act(thing)}" for thing in things])) + "."


def _moving(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    things = [thing for thing in scene.things if thing.motion]
    answer = _list(things, lambda thing: f"moves {thing.motion} {thing.speed}", "Nothing moves.")
    return _pick(rng, ["What moves?", "What is moving, and how?", "Which objects move?"]), answer


def _still(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    things = [thing for thing in scene.things if not thing.motion]
    text = _pick(rng, ["What stands still?", "What does not move?", "Which objects are at rest?"])
    return text, _list(things, lambda _: "stands still", "Nothing stands still.")


def _appears(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    things = [thing for thing in scene.things if thing.appears is not None]
    text = _pick(rng, ["What appears?", "Does anything appear during the clip?", "What is new in the clip?"])
    return text, _list(things, lambda _: "appears", "Nothing appears.")


def _leaves(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    things = [thing for thing in scene.things if thing.leaves is not None]
    text = _pick(rng, ["What disappears?", "Does anything disappear during the clip?", "What goes away?"])
    return text, _list(things, lambda _: "disappears", "Nothing disappears.")


def _fastest(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    quick = [thing for thing in scene.things if thing.speed == "quickly"]
    slow = [thing for thing in scene.things if thing.speed == "slowly"]
    first = quick or slow
    if len(first) != 1:
        return None
    text = _pick(rng, ["Which object is the fastest?", "What moves the fastest?"])
    return text, f"The {name(first[0])} is the fastest."


def _yes_no(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """Half of the time about something that is there, so that yes and no are about as frequent."""
    thing = scene.things[int(rng.integers(len(scene.things)))] if rng.random() < 0.5 else None
    choice = int(rng.integers(3))
    if choice == 0:
        direction = (thing.motion if thing else None) or _pick(rng, list(DIRECTIONS))
        count = sum(other.motion == direction for other in scene.things)
        return f"Does anything move {direction}?", _verdict(count, f"moves {direction}", f"move {direction}")
    if choice == 1:
        word = thing.colour if thing else _pick(rng, list(COLOURS))
    else:
        word = thing.shape if thing else _pick(rng, list(SHAPES))
    count = sum(word in (other.colour, other.shape) for other in scene.things)
    what = f"{word} object" if choice == 1 else word
    return f"Is there a {what}?", _verdict(count, *_being(word, choice == 1))


def _being(word: str, colour: bool) -> tuple[str, str]:
    return (
        (f"is {word}", f"are {word}")
        if colour
        else (f"is a {word}", f"are {'crosses' if word == 'cross' else word + 's'}")
    )


def _verdict(count: int, one: str, many: str) -> str:
    if count == 0:
        return f"No, nothing {one}."
    return f"Yes, {NUMBERS[count]} {'objects' if count > 1 else 'object'} {many if count > 1 else one}."


def _describe(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    count = len(scene.things)
    head = "There is one object: " if count == 1 else f"There are {NUMBERS[count]} objects: "
    text = _pick(rng, ["Describe the scene.", "Describe the clip in full.", "What can be seen?"])
    return text, head + joined([f"a {name(thing)} that {acts(thing)}" for thing in scene.things]) + "."


def _story(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    sentences = [f"The {name(thing)} {acts(thing)}." for thing in scene.things]
    return _pick(rng, ["What happens?", "Tell me what happens in the clip."]), " ".join(sentences)


KINDS: dict[str, tuple[Maker, float]] = {
    "colour": (_colour, 1.0),
    "shape": (_shape, 1.0),
    "size": (_size, 0.8),
    "direction": (_direction, 1.0),
    "speed": (_speed, 1.0),
    "act": (_act, 1.0),
    "place": (_place, 1.8),
    "count_moving": (_count_moving, 0.6),
    "count_all": (_count_all, 0.5),
    "moving": (_moving, 1.0),
    "still": (_still, 1.0),
    "appears": (_appears, 0.8),
    "leaves": (_leaves, 1.0),
    "fastest": (_fastest, 0.8),
    "yes_no": (_yes_no, 1.4),
    "describe": (_describe, 1.4),
    "story": (_story, 1.0),
}
"""Every kind of question, with its weight when questions are drawn."""

_NAMES = tuple(KINDS)
_WEIGHTS = np.array([weight for _, weight in KINDS.values()]) / sum(weight for _, weight in KINDS.values())


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question | None:
    """A question of this kind, or None where the scene has no unambiguous one."""
    made = KINDS[kind][0](scene, rng)
    if made is None:
        return None
    text, answer, *thing = made
    return Question(kind, text, answer, scene.things.index(thing[0]) if thing else -1)


def sample_questions(scene: Scene, count: int, rng: np.random.Generator) -> list[Question]:
    """`count` questions of different wording about the scene, kinds drawn by weight."""
    found: dict[str, Question] = {}
    while len(found) < count:
        question = ask(scene, str(rng.choice(_NAMES, p=_WEIGHTS)), rng)
        if question is not None:
            found.setdefault(question.text, question)
    return list(found.values())
