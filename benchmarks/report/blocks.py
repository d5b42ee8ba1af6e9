"""What the page is made of: sections of sentences, tables and pictures, without a word of HTML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `missing`: it says why a part is absent."""

    text: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """Sentences that stand out, one a line; `tone` is `check`, `win`, `loss`, `even` or `note`."""

    tone: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a section; `mark` is what stands beside it, such as "replayed"."""

    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first `words` columns are words and the others numbers; `folded` hides it until it is asked for."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: int = 1
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is drawn when the page is written.

    Attributes:
        name: unique in the report; the PNG's file name.
        foot: stands in the picture itself: what was run; with `replayed`, the name of the profile.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    foot: str = ""
    replayed: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """The paradigms that were run, by name: who does what, and what crosses the link."""

    paradigms: tuple[str, ...]


Block = Text | Said | Heading | Table | Picture | Diagram


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. `anchor` is its id."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """The whole page: `subtitle` says when and what, `replayed` names the profiles of replayed runs."""

    subtitle: str
    replayed: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> list[Picture]:
        """All pictures, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Picture)]
