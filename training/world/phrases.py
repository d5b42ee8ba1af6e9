"""How things are named, and the classes of words that answers are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.world.scenes import COLOURS, DIRECTIONS, SHAPES, SIZES, Scene, Thing

NUMBERS = ("no", "one", "two", "three")

WORD_CLASSES: dict[str, frozenset[str]] = {
    "colour": frozenset(COLOURS),
    "shape": frozenset(SHAPES),
    "size": frozenset(SIZES),
    "motion": frozenset({*DIRECTIONS, "moves", "move", "stands", "stand", "appears", "disappears", "nothing"}),
    "speed": frozenset({"quickly", "slowly", "fastest"}),
    "count": frozenset({*NUMBERS, "object", "objects"}),
    "position": frozenset({"upper", "lower"}),
    "yes_no": frozenset({"yes"}),
}
"""Classes of content words, lower case; every other token is a function word."""


def word_class(word: str) -> str:
    """The class of a word of an answer, `function` if it is in none.

    `left` counts as motion wherever it stands.
    """
    bare = word.strip().lower()
    return next((name for name, words in WORD_CLASSES.items() if bare in words), "function")


def name(thing: Thing) -> str:
    """Its full name without an article: "small red circle"."""
    return f"{thing.size} {thing.colour} {thing.shape}"


def acts(thing: Thing) -> str:
    """What it does, in order of time: "appears and moves left quickly"."""
    parts = [f"moves {thing.motion} {thing.speed}" if thing.motion else "stands still"]
    if thing.appears is not None:
        parts.insert(0, "appears")
    if thing.leaves is not None:
        parts.append("disappears")
    return " and ".join(parts)


def joined(parts: Sequence[str]) -> str:
    """A list in words: "a", "a and b", "a, b, and c"."""
    if len(parts) < 3:
        return " and ".join(parts)
    return ", ".join(parts[:-1]) + ", and " + parts[-1]


def capital(sentence: str) -> str:
    """The sentence with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]


_DESCRIPTORS: tuple[tuple[Callable[[Thing], object], Callable[[Thing], str | None]], ...] = (
    (lambda thing: thing.shape, lambda thing: f"the {thing.shape}"),
    (lambda thing: thing.size, lambda thing: f"the {thing.size} object"),
    (lambda thing: thing.colour, lambda thing: f"the {thing.colour} object"),
    (
        lambda thing: thing.motion,
        lambda thing: f"the object that moves {thing.motion}" if thing.motion else None,
    ),
    (
        lambda thing: thing.motion is None,
        lambda thing: None if thing.motion else "the object that stands still",
    ),
    (
        lambda thing: thing.speed,
        lambda thing: f"the object that moves {thing.speed}" if thing.speed else None,
    ),
    (lambda thing: (thing.size, thing.shape), lambda thing: f"the {thing.size} {thing.shape}"),
    (lambda thing: (thing.colour, thing.shape), lambda thing: f"the {thing.colour} {thing.shape}"),
)


def references(scene: Scene, thing: Thing, hidden: str = "") -> list[str]:
    """Ways to point at `thing` that fit nothing else in the scene, without the word `hidden` (the answer)."""
    found = []
    for key, phrase in _DESCRIPTORS:
        words = phrase(thing)
        if words is None or (hidden and hidden in words.split()):
            continue
        if sum(key(other) == key(thing) for other in scene.things) == 1:
            found.append(words)
    if len(scene.things) == 1:
        found.append("the object")
    return found
