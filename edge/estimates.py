"""What the edge knows of its link, its drafter and its cloud, learnt from its own answers. Pure; times in seconds.

One `DraftingEstimates` belongs to a daemon and is shared by its answers, so that what one learns serves the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edge.branches import BranchWorth
from edge.draft_law import Circumstances

PLACES = 16  # places of a run of right drafts that are counted apart; later ones share what is left
IDS = "ids"
HORIZON = 48  # longest run that the law looks at
_REMEMBERED = 24  # round trips
_FADE = 0.98  # of a sample's weight, with each later one
_PRIOR_RATE, _PRIOR_WEIGHT = 0.7, 4.0  # of a draft token's being right, before any was checked
_SHRINK = 8.0  # weight of all places' rate in each place's own
_STRANGE = 4.0  # times as long as expected: something else was in the way
_LARGE_BYTES = 32_768
_JOB_S = 0.0003  # of a draft beside its tokens, before it is known


class FadingFit:
    """A straight line through samples, older ones counting less, held near a prior where they say little."""

    def __init__(self, prior: Sequence[float], weights: Sequence[float]) -> None:
        """`prior` has the constant and the slopes, `weights` how many samples each is worth."""
        size = len(prior)
        self.samples = 0
        self._prior, self._weights = tuple(prior), tuple(weights)
        self._squares = [[0.0] * size for _ in range(size)]
        self._products = [0.0] * size

    def add(self, inputs: Sequence[float], value: float) -> None:
        """One sample: the slopes' inputs, and what came of them."""
        row = (1.0, *inputs)
        if self.samples >= 8:
            expected = sum(a * b for a, b in zip(self.solve(), row, strict=True))
            value = min(value, _STRANGE * max(expected, 1e-4))
        self.samples += 1
        for i, here in enumerate(row):
            self._products[i] = self._products[i] * _FADE + here * value
            for j, there in enumerate(row):
                self._squares[i][j] = self._squares[i][j] * _FADE + here * there

    def solve(self) -> list[float]:
        """Constant and slopes, none below zero."""
        size = len(self._prior)
        matrix = [
            [*(self._squares[i][j] + (self._weights[i] if i == j else 0.0) for j in range(size))] for i in range(size)
        ]
        right = [self._products[i] + self._weights[i] * self._prior[i] for i in range(size)]
        return _solve(matrix, right)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Least squares of a positive definite system; a coefficient below zero is set to zero, the others fitted again."""
    free = list(range(len(right)))
    while True:
        found = _eliminate([[matrix[i][j] for j in free] for i in free], [right[i] for i in free])
        negative = [place for place, value in zip(free, found, strict=True) if value < 0]
        if not negative:
            values = [0.0] * len(right)
            for place, value in zip(free, found, strict=True):
                values[place] = value
            return values
        free = [place for place in free if place not in negative]


def _eliminate(matrix: list[list[float]], right: list[float]) -> list[float]:
    size = len(right)
    for i in range(size):
        for j in range(i + 1, size):
            factor = matrix[j][i] / matrix[i][i] if matrix[i][i] else 0.0
            matrix[j] = [b - factor * a for a, b in zip(matrix[i], matrix[j], strict=True)]
            right[j] -= factor * right[i]
    values = [0.0] * size
    for i in reversed(range(size)):
        rest = right[i] - sum(matrix[i][j] * values[j] for j in range(i + 1, size))
        values[i] = rest / matrix[i][i] if matrix[i][i] else 0.0
    return values


class Acceptance:
    """How often drafts of one form are right, by their place since the last wrong one.

    Attributes:
        checked: tokens that were ever checked.
        weight: of what is remembered of them, in tokens.
    """

    def __init__(self) -> None:
        self.checked = 0
        self._right = [0.0] * (PLACES + 1)
        self._tried = [0.0] * (PLACES + 1)

    @property
    def weight(self) -> float:
        return sum(self._tried)

    def add(self, place: int, right: bool) -> None:
        """A token at this place was checked."""
        place = min(place, PLACES)
        self.checked += 1
        self._tried[place] += 1
        self._right[place] += right

    def fade(self) -> None:
        """What is known counts a little less from now on."""
        self._right = [value * _FADE for value in self._right]
        self._tried = [value * _FADE for value in self._tried]

    def rates(self) -> list[float]:
        """The chance of being right, by place; the last is that of all later places."""
        pooled = (sum(self._right) + _PRIOR_RATE * _PRIOR_WEIGHT) / (sum(self._tried) + _PRIOR_WEIGHT)
        return [
            (right + _SHRINK * pooled) / (tried + _SHRINK)
            for right, tried in zip(self._right, self._tried, strict=True)
        ]

    def survival(self) -> tuple[float, ...]:
        """`survival()[n]`: the chance that the next `n` draft tokens are all right."""
        rates, alive = self.rates(), [1.0]
        for place in range(HORIZON):
            alive.append(alive[-1] * rates[min(place, PLACES)])
        return tuple(alive)


class DraftingEstimates:
    """See the module's docstring.

    Of each form in which drafts travel, how right they are and how long they take is counted apart; `IDS` are the
    drafter's own ids.
    """

    def __init__(self) -> None:
        self.tokens = 0.0  # of an answer, in the mean
        self.branching = BranchWorth()
        self.lead_s = 0.0  # from the drafter's first token until the first commit, in the mean
        self._round_trips: dict[str, deque[float]] = {}
        self._acceptance: dict[str, Acceptance] = {}
        self._jobs = FadingFit((_JOB_S, 0.0), (1.0, 1e-6))
        self._passes = FadingFit((0.0, 0.0, 0.0), (1e-6, 0.5, 0.5))
        self._others = 0.0
        self._byte_s = 0.0
        self._answers = 0

    # --------------------------------------------------------------------------------------------- what is seen

    def round_trip(self, seconds: float, form: str = IDS) -> None:
        """A message and its answer, with as little of the cloud's own time as could be told apart."""
        self._round_trips.setdefault(form, deque(maxlen=_REMEMBERED)).append(max(0.0, seconds))

    def uplink(self, size: int, seconds: float) -> None:
        """So many bytes (a video) took so long to go up, all else included; few bytes tell nothing of the line."""
        if size >= _LARGE_BYTES:
            fresh = max(0.0, seconds - self.round_trip_s) / size
            self._byte_s = fresh if not self._byte_s else self._byte_s + 0.3 * (fresh - self._byte_s)

    def job(self, tokens: int, seconds: float) -> None:
        """The drafter has drafted."""
        if tokens > 0:
            self._jobs.add((float(tokens),), seconds)

    def passed(self, drafted: int, waiting: int, seconds: float) -> None:
        """A pass of the target over one row and `drafted` more; `waiting` sessions were in it."""
        others = max(0, waiting - 1)
        self._passes.add((float(drafted), float(others)), seconds)
        self._others += (1 - _FADE) * (others - self._others)

    def checked_token(self, place: int, right: bool, form: str = IDS) -> None:
        """A draft token met the target's choice; the `place` tokens before it, since the last wrong one, were right."""
        self.acceptance(form).add(place, right)

    def answered(self, tokens: int, lead_s: float | None) -> None:
        """An answer has ended. What was checked before it counts a little less from now on."""
        self._answers += 1
        share = max(0.1, 1 / self._answers)
        self.tokens += share * (tokens - self.tokens)
        if lead_s is not None:
            self.lead_s += share * (lead_s - self.lead_s)
        for acceptance in self._acceptance.values():
            acceptance.fade()
        self.branching.answered()

    # -------------------------------------------------------------------------------------------- what is known

    def acceptance(self, form: str = IDS) -> Acceptance:
        """How right drafts of this form are."""
        return self._acceptance.setdefault(form, Acceptance())

    @property
    def checked(self) -> int:
        """Tokens of the drafter's own that were checked."""
        return self.acceptance().checked

    @property
    def byte_s(self) -> float:
        """Seconds that a byte takes to go up; 0 while nobody knows."""
        return self._byte_s

    @property
    def known(self) -> bool:
        """True once link, drafter and target have all been seen."""
        return bool(self._round_trips) and self._jobs.samples >= 2 and self._passes.samples >= 2

    @property
    def pass_s(self) -> float | None:
        """The target's pass over one row, as things are; None before any was seen."""
        if not self._passes.samples:
            return None
        base, _, session = self._passes.solve()
        return base + session * self._others

    @property
    def round_trip_s(self) -> float:
        """The least of the last ones: what is above it was waiting."""
        return self.trip_s(IDS)

    def trip_s(self, form: str) -> float:
        """The same of drafts of this form; where none has travelled yet, of any."""
        own = self._round_trips.get(form) or [trip for trips in self._round_trips.values() for trip in trips]
        return min(own, default=0.0)

    def travelled(self, form: str) -> bool:
        """True if a draft of this form has made its round trip."""
        return bool(self._round_trips.get(form))

    def rates(self, form: str = IDS) -> list[float]:
        """The chance of being right, by place; the last is that of all later places."""
        return self.acceptance(form).rates()

    def survival(self, form: str = IDS) -> tuple[float, ...]:
        """`survival()[n]`: the chance that the next `n` draft tokens are all right."""
        return self.acceptance(form).survival()

    def circumstances(self, max_draft: int, form: str = IDS) -> Circumstances:
        """For the law."""
        job_s, token_s = self._jobs.solve()
        pass_s, row_s, session_s = self._passes.solve()
        return Circumstances(
            self.trip_s(form),
            token_s,
            job_s,
            pass_s + session_s * self._others,
            row_s,
            self.survival(form),
            max_draft,
            self._others,
            session_s,
        )
