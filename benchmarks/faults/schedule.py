"""Which fault strikes when, what else runs at that time: a pure function of seed and index.

Every hundred faults hold the same mixture, shuffled; everything else about a fault is drawn from its own seed and
index, so that one that went wrong can be run again alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from common.ask import Mode
from common.types import Pace, SamplingParams


class Kind(StrEnum):
    """What happens."""

    KILL_CLOUD = "kill_cloud"  # kill -9 of the front process; it is started again
    KILL_ENGINE = "kill_engine"  # kill -9 of the engine process
    KILL_EDGE = "kill_edge"  # kill -9 of an edge daemon; it is started again
    KILL_ASKER = "kill_asker"  # kill -9 of the asking client; it asks again
    CUT = "cut"  # the link drops every packet
    HALF_OPEN = "half_open"  # connections stay, and what is sent on them goes nowhere
    RESET = "reset"  # connections are reset
    REORDER = "reorder"  # messages overtake each other
    DUPLICATE = "duplicate"  # messages come twice
    DAMAGE = "damage"  # bytes in messages are changed
    CORRUPT = "corrupt"  # bytes in the TCP stream are changed
    TRICKLE = "trickle"  # a peer that reads or writes a byte a second
    CLOCK_JUMP = "clock_jump"  # wall clocks jump, forth and back, by hours
    FULL_DISK = "full_disk"  # nothing can be written to the edge's spool
    NO_MEMORY = "no_memory"  # the engine gets no more memory
    HANG = "hang"  # a step that takes 30 s
    ERROR = "error"  # an exception in the engine's forward, over one session
    NOT_FINITE = "not_finite"  # one session's logits aren't finite
    BAD_NEIGHBOUR = "bad_neighbour"  # a session with a damaged video or a hopeless prompt beside the others


MESSAGE_KINDS = (Kind.REORDER, Kind.DUPLICATE, Kind.DAMAGE)
# of a hundred faults
MIXTURE: dict[Kind, int] = {
    Kind.KILL_CLOUD: 2,
    Kind.KILL_ENGINE: 4,
    Kind.KILL_EDGE: 3,
    Kind.KILL_ASKER: 5,
    Kind.CUT: 20,
    Kind.HALF_OPEN: 6,
    Kind.RESET: 14,
    Kind.REORDER: 8,
    Kind.DUPLICATE: 8,
    Kind.DAMAGE: 7,
    Kind.CORRUPT: 6,
    Kind.TRICKLE: 4,
    Kind.CLOCK_JUMP: 3,
    Kind.FULL_DISK: 3,
    Kind.NO_MEMORY: 2,
    Kind.HANG: 1,
    Kind.ERROR: 2,
    Kind.NOT_FINITE: 1,
    Kind.BAD_NEIGHBOUR: 1,
}
_CUTS = ((0.70, 0.05, 0.5), (0.20, 0.5, 3.0), (0.09, 3.0, 10.0), (0.01, 30.0, 30.0))  # share, from, to (seconds)
_SAMPLINGS = (
    SamplingParams(),
    SamplingParams(temperature=0.8, seed=11),
    SamplingParams(temperature=1.0, top_p=0.95, seed=7),
)
ANSWER_TOKENS = 64  # of the longest answer
EDGES = 2  # behind the relay of bytes, the first patient, the second hasty; another is behind the relay of messages
MESSAGE_EDGE = EDGES


@dataclass(frozen=True, slots=True)
class Question:
    """One answer that runs while a fault strikes. `clip` counts through the clips that are asked about."""

    edge: int
    clip: int
    mode: Mode
    sampling: SamplingParams
    pace: Pace
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        index: its place in the schedule.
        kind: what happens.
        questions: the answers that it strikes.
        after: the share of the first answer that is committed when it strikes; below 0: so many seconds after asking.
        seconds: how long it lasts, where it lasts.
        way: `up`, `down` or `both`, where a direction matters.
        rate: share of the messages that it meets, where it meets messages.
        seed: of all that the injection draws.
    """

    index: int
    kind: Kind
    questions: tuple[Question, ...]
    after: float
    seconds: float
    way: str
    rate: float
    seed: int

    def describe(self) -> str:
        """One line."""
        asked = ", ".join(f"{q.mode.value}@{q.edge}" for q in self.questions)
        when = f"{-self.after:.2f} s after asking" if self.after < 0 else f"at {self.after:.0%} of the answer"
        return f"{self.kind} {self.seconds:.2f} s {self.way} {self.rate:.0%}, {when}; {asked}"


def make_schedule(count: int, seed: int) -> list[Fault]:
    """`count` faults; the first n of a longer schedule are those of a schedule of n."""
    return [make_fault(index, seed) for index in range(count)]


def make_fault(index: int, seed: int) -> Fault:
    """One fault of a schedule."""
    deck = [kind for kind, share in MIXTURE.items() for _ in range(share)]
    random.Random(f"deck {seed} {index // len(deck)}").shuffle(deck)
    draw = random.Random(f"fault {seed} {index}")
    kind = deck[index % len(deck)]
    early = draw.random() < 0.25
    return Fault(
        index=index,
        kind=kind,
        questions=tuple(_question(kind, place, draw) for place in range(_answers(kind, draw))),
        after=-draw.uniform(0.0, 0.3) if early else draw.uniform(0.02, 0.8),
        seconds=_seconds(kind, draw),
        way=draw.choice(("up", "down", "both")),
        rate=draw.choice((0.05, 0.2, 0.5)),
        seed=draw.randrange(2**31),
    )


def _answers(kind: Kind, draw: random.Random) -> int:
    return 1 if kind is Kind.KILL_ASKER and draw.random() < 0.5 else draw.choice((1, 2, 2, 3))


def _question(kind: Kind, place: int, draw: random.Random) -> Question:
    if kind in MESSAGE_KINDS:
        edge = MESSAGE_EDGE
    elif kind in (Kind.KILL_EDGE, Kind.KILL_ASKER, Kind.FULL_DISK) and place == 0:
        edge = 0
    else:
        edge = draw.choice((0, 0, 1))
    modes = (Mode.STREAM_TO_CLOUD,) * 7 + (Mode.CLOUD_ONLY,) * 2 + (Mode.EDGE_VISION,)
    return Question(
        edge=edge,
        clip=draw.randrange(6),
        mode=draw.choice(modes),
        sampling=draw.choice(_SAMPLINGS),
        pace=draw.choice((Pace.EAGER, Pace.EAGER, Pace.PATIENT)),
        max_tokens=draw.choice((24, 40, ANSWER_TOKENS)),
    )


def _seconds(kind: Kind, draw: random.Random) -> float:
    if kind is Kind.CUT:
        chosen = draw.random()
        for share, low, high in _CUTS:
            if chosen < share:
                return draw.uniform(low, high)
            chosen -= share
        return _CUTS[0][1]
    if kind in MESSAGE_KINDS:
        return draw.uniform(0.2, 1.5)
    if kind is Kind.TRICKLE:
        return draw.uniform(1.0, 4.0)
    return 30.0 if kind is Kind.HANG else 0.0
