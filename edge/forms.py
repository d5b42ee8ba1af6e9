"""The forms in which an edge's drafts travel, and the book of the states behind an answer. Pure: no torch, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from common.types import StateEncoding, Tensor


class DraftForm(Enum):
    """For `--draft-form`."""

    IDS = "ids"  # the drafter's own choices
    HIDDEN = "hidden"  # its states in half precision; the cloud's adapter and head choose
    INT8 = "int8"  # its states as bytes
    CODES = "codes"  # the waist of a split adapter as bytes
    MIRROR = "mirror"  # ids that adapter and a copy of the target's head chose here
    AUTO = "auto"  # ids or states (codes where the adapter has them, else bytes), as the controller chooses


ENCODINGS = {
    DraftForm.HIDDEN: StateEncoding.STATES,
    DraftForm.INT8: StateEncoding.INT8,
    DraftForm.CODES: StateEncoding.CODES,
}


@dataclass(frozen=True, slots=True)
class StateForm:
    """How an edge sends states.

    Attributes:
        form: as it was asked for.
        width: of a row.
        adapter: fingerprint of the adapter that the cloud must have.
        causal: True if the adapter looks back: it must get every position's state once.
        positions: how many the adapter has; 0: no limit. Drafts that go beyond carry ids.
        redrafted: True if the cloud keeps the states behind a miss, and makes drafts of them again.
    """

    form: DraftForm
    width: int
    adapter: str
    causal: bool = False
    positions: int = 0
    redrafted: bool = False

    @property
    def token_bytes(self) -> int:
        """Bytes of a row on the wire, and about what goes around it in a draft of a few."""
        return self.width * (2 if self.form is DraftForm.HIDDEN else 1) + 10

    @property
    def dtype(self) -> str:
        """Element type of a row."""
        return "float16" if self.form is DraftForm.HIDDEN else "int8"


@dataclass(frozen=True, slots=True)
class StateRow:
    """One position's state as it travels: elements, and a scale in half precision if they are bytes."""

    data: bytes
    scale: bytes = b""


@dataclass(frozen=True, slots=True)
class StateRows:
    """States of positions `first ...`; those before are as they were told before."""

    first: int
    rows: tuple[StateRow, ...]


@dataclass(frozen=True, slots=True)
class DraftStates:
    """What a draft carries of states: see `common.types.Draft`."""

    hidden_states: Tensor
    scales: Tensor | None
    context: int


@dataclass
class StateBook:
    """The states of one answer's positions, each being the one that its token was drafted from.

    Attributes:
        form: how they travel.
        known: positions whose states the cloud has, and which still hold.
    """

    form: StateForm
    known: int = 0
    _rows: list[StateRow] = field(default_factory=list)

    def take(self, states: StateRows) -> None:
        """The drafter's newest states."""
        self._rows[states.first :] = states.rows
        self.known = min(self.known, states.first)

    def forget(self) -> None:
        """Another stream: the cloud may know nothing."""
        self.known = 0

    def covers(self, length: int) -> bool:
        """True if the adapter has positions for an answer of this length."""
        return not self.form.positions or length <= self.form.positions

    def kept(self, length: int) -> bool:
        """True if a cloud that has drafts up to this length, the last one of states, keeps them behind a miss."""
        return self.form.redrafted and self.covers(length)

    def draft(self, start: int, stop: int) -> DraftStates | None:
        """What to send for positions `start ... stop`; None if a state is missing."""
        first = min(self.known, start) if self.form.causal else start
        rows = self._rows[first:stop]
        if len(rows) != stop - first:
            return None
        self.known = stop
        states = Tensor(self.form.dtype, (len(rows), self.form.width), b"".join(row.data for row in rows))
        scales = b"".join(row.scale for row in rows)
        return DraftStates(states, Tensor("float16", (len(rows),), scales) if scales else None, start - first)
