"""How long the cloud and a drafter take from one disagreement to the next: the law behind `edge/controller.py`. Pure.

A cycle begins when the target's choice disagrees with the drafter and ends when it does so again. What the drafter gets
right within it, and so the cycle's tokens, depends on the drafter alone; a plan decides only how long the cycle takes.
So one walk along an unbroken run of right drafts tells the expected time for every length that the run may have:

    E[T] = sum over passes i of (S(c_i) - S(c_i+1)) * end_i        S(n): chance that n drafts in a row are right
    E[tokens] = S(0) + S(1) + S(2) + ...                            c_i: tokens committed before pass i

`docs/controller.md` derives it and says where it comes from and what it leaves out. Times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 16  # drafts longer than this aren't considered
_LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
_PHASES = (1 / 6, 3 / 6, 5 / 6)  # of a running job that are left
_SAME_S = 1e-4
_CLOSE = 5  # plans that one walk each leaves in the race
_CHANGE = 0.02
_AS_GOOD = 1.005


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the law needs to know.

    Attributes:
        round_trip_s: of a draft and the commit that names it, without the cloud's share.
        token_s: a token of the drafter; `job_s`: what a draft costs it beside its tokens.
        pass_s: the target's pass over one row; `row_s`: each further row.
        survival: `survival[n]` is the chance that the drafter's next `n` tokens are all right; the first is 1.
        max_draft: draft tokens that the cloud checks in a pass.
        others: other sessions in a pass, in the mean; `session_s`: what each adds to it.
    """

    round_trip_s: float
    token_s: float
    job_s: float
    pass_s: float
    row_s: float
    survival: tuple[float, ...]
    max_draft: int = 16
    others: float = 0.0
    session_s: float = 0.0

    @property
    def tokens(self) -> float:
        """Expected tokens of a cycle, whatever the plan."""
        return sum(self.survival[:-1])

    @property
    def alone_s(self) -> float:
        """What the cloud alone takes for a cycle's tokens, what it costs other sessions included."""
        return self.tokens * (self.pass_s + self.others * self.session_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to draft.

    Attributes:
        length: tokens of the longest draft; 0: the cloud decodes alone.
        first: tokens of the first draft of a run; later ones are as long as what is ahead already, up to `length`.
        ahead: drafted tokens beyond the committed ones that the edge knows of.
        patience_s: how long the cloud waits for a draft; 0 is the eager pace.
    """

    length: int
    first: int
    ahead: int
    patience_s: float = 0.0

    def count(self, ahead: int) -> int:
        """Tokens of the next draft where `ahead` are made and not committed yet; 0: wait."""
        return max(0, min(self.length, max(self.first, ahead), self.ahead - ahead))


OFF = Plan(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A cycle under a plan: its time, and the passes and draft rows that it costs the cloud, all expected."""

    cycle_s: float
    passes: float
    rows: float
    left: tuple[tuple[float, float], ...] = ()  # of the job that runs when the cycle's end is heard of: (time, chance)

    def cost_s(self, c: Circumstances) -> float:
        """The cycle's time, and the time that it takes from other sessions in the same passes."""
        return self.cycle_s + c.others * (self.passes * c.session_s + self.rows * c.row_s)


def forecast(plan: Plan, c: Circumstances) -> Forecast:
    """What a cycle takes under a plan.

    When the drafter hears of its mistake, a job may be running that has to end first. How much of it is left depends on
    the cycle before: a chain, of which two steps are taken from all phases of a job alike.
    """
    if not plan.length:
        return Forecast(c.tokens * c.pass_s, c.tokens, 0.0)
    job_s = c.job_s + plan.length * c.token_s
    first = [_walk(plan, c, job_s * phase) for phase in _PHASES]
    left = sorted((late, weight) for walk in first for late, weight in walk.left)
    walks = [(weight, _walk(plan, c, late)) for late, weight in _gathered(left)]
    whole = sum(weight for weight, _ in walks)
    cycle, passes, rows = (
        sum(w * getattr(f, name) for w, f in walks) / whole for name in ("cycle_s", "passes", "rows")
    )
    return Forecast(cycle, passes, rows)


def _gathered(left: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A sorted distribution of (value, weight) as few points: equal shares of it, each by its mean."""
    share = sum(weight for _, weight in left) / len(_PHASES)
    points: list[tuple[float, float]] = []
    value = weight = 0.0
    for late, more in left:
        while more > 0:
            taken = min(more, share - weight)
            value, weight, more = value + taken * late, weight + taken, more - taken
            if weight >= share * (1 - 1e-9):
                points.append((value / weight, weight))
                value = weight = 0.0
            elif taken <= 0:
                break
    merged: list[tuple[float, float]] = []
    for late, more in points:
        if merged and late - merged[-1][0] < _SAME_S:
            merged[-1] = (merged[-1][0], merged[-1][1] + more)
        else:
            merged.append((late, more))
    return merged


def _walk(plan: Plan, c: Circumstances, late: float) -> Forecast:
    """Along a run in which every draft is right; time 0 is the end of the pass that set the drafter right."""
    edge = _Edge(plan, c, late)
    half, survival, last = c.round_trip_s / 2, c.survival, len(c.survival) - 1
    committed, start, ended, passes = 0, 0.0, 0.0, 0
    waiting_since = -c.pass_s
    cycle = many = rows = 0.0
    left: list[tuple[float, float]] = []
    while committed < last:
        if plan.patience_s:
            start = edge.first_beyond(committed, ended, waiting_since + plan.patience_s)
        else:
            edge.run(start - half)
        count = max(0, min(edge.arrived(start) - committed, c.max_draft))
        took = c.pass_s + count * c.row_s
        ended, passes = start + took, passes + 1
        reached = min(last, committed + count + 1)
        here = survival[committed] if reached >= last else survival[committed] - survival[reached]
        cycle += here * ended
        many += here * passes
        rows += survival[committed] * count
        edge.hear(ended + half, reached)
        edge.run(ended + half)
        left.append((edge.busy_until(ended + half) - ended - half, here))
        waiting_since, start, committed = start, ended, reached
    return Forecast(cycle, many, rows, tuple(left))


class _Edge:
    """The drafter along the walk. Positions count from the cycle's beginning."""

    def __init__(self, plan: Plan, c: Circumstances, late: float) -> None:
        self._plan = plan
        self._c = c
        self._free_at = c.round_trip_s / 2 + late
        self._made = 0  # drafted, or taken along from commits
        self._heard: list[tuple[float, int]] = []
        self._known = self._next_heard = 0
        self._job: tuple[float, float, int] | None = None  # begins, ends, makes
        self._arrivals: list[tuple[float, int]] = []
        self._taken = self._reach = 0

    def hear(self, at: float, committed: int) -> None:
        """A commit reaches the edge."""
        self._heard.append((at, committed))

    def run(self, until: float) -> None:
        """Draft until this moment; a job that ends later stays begun."""
        while True:
            if self._job is None and not self._begin(until):
                return
            if not self._end(until):
                return

    def _begin(self, until: float) -> bool:
        start, made = self._free_at, self._made
        while True:
            self._learn(start)
            if self._known > made:
                made = self._known
            count = self._plan.count(made - self._known)
            if count or self._next_heard >= len(self._heard):
                break
            start = max(start, self._heard[self._next_heard][0])
        if not count or start > until:
            return False
        self._made, self._free_at = made, start
        self._job = (start, start + self._c.job_s + count * self._c.token_s, count)
        return True

    def _end(self, until: float) -> bool:
        assert self._job is not None
        _, end, count = self._job
        if end > until:
            return False
        self._job = None
        self._learn(end)
        self._made += count
        self._free_at = end
        if self._made > self._known:
            self._arrivals.append((end + self._c.round_trip_s / 2, self._made))
        return True

    def _learn(self, at: float) -> None:
        while self._next_heard < len(self._heard) and self._heard[self._next_heard][0] <= at:
            self._known = self._heard[self._next_heard][1]
            self._next_heard += 1

    def busy_until(self, at: float) -> float:
        """When the job that runs at this moment ends."""
        return self._job[1] if self._job is not None and self._job[0] < at else at

    def arrived(self, at: float) -> int:
        """Up to where the cloud has drafts at this moment."""
        while self._taken < len(self._arrivals) and self._arrivals[self._taken][0] <= at:
            self._reach = self._arrivals[self._taken][1]
            self._taken += 1
        return self._reach

    def first_beyond(self, committed: int, since: float, deadline: float) -> float:
        """When, from `since` on, the cloud has a draft beyond these tokens, or gives up waiting at the deadline."""
        half = self._c.round_trip_s / 2
        self.run(since - half)
        while True:
            for at, reach in self._arrivals[self._taken :]:
                if reach > committed:
                    return max(since, min(at, deadline)) if at > since else since
            if self._reach > committed:
                return since
            if self._job is None and not self._begin(max(since, deadline)):
                return max(since, deadline)
            assert self._job is not None
            if self._job[1] + half >= deadline:
                return max(since, deadline)
            self._end(self._job[1])


def plans(c: Circumstances, max_ahead: int, patience_s: float) -> list[Plan]:
    """Lengths that are worth a forecast, as drafts of one length and as growing ones."""
    longest = max(1, min(LONGEST, c.max_draft, max_ahead))
    lengths = [n for n in _LENGTHS if n < longest] + [longest]
    growing = [Plan(n, 2, max_ahead, patience_s) for n in lengths if n >= 4]
    return [Plan(n, n, max_ahead, patience_s) for n in lengths] + growing


def with_leads(plan: Plan, max_ahead: int) -> list[Plan]:
    """The same plan with less ahead, or more."""
    leads = {min(max_ahead, lead) for lead in (*_LENGTHS, 20, 24, 32, 40, 48) if lead >= plan.first}
    return [Plan(plan.length, plan.first, lead, plan.patience_s) for lead in sorted(leads)]


def best_plan(c: Circumstances, max_ahead: int, patience_s: float) -> Plan:
    """The plan that costs least, by enumeration: first the length, then how much ahead. Never `OFF`: see `gain`.

    Of leads that cost about the same the largest: a run may be longer than most.
    """
    found = _cheapest(plans(c, max_ahead, patience_s), c)
    least = _cheapest(with_leads(found, max_ahead), c)
    enough = forecast(least, c).cost_s(c) * _AS_GOOD
    leads = [plan for plan in with_leads(found, max_ahead) if plan.ahead > least.ahead]
    return next((plan for plan in reversed(leads) if forecast(plan, c).cost_s(c) <= enough), least)


def _cheapest(among: Sequence[Plan], c: Circumstances) -> Plan:
    """Of plans that cost the same, the first. One walk each tells which few are worth a whole forecast."""
    rough = {plan: _walk(plan, c, (c.job_s + plan.length * c.token_s) / 2).cost_s(c) for plan in among}
    few = sorted(rough, key=rough.__getitem__)[:_CLOSE]
    return min((plan for plan in among if plan in few), key=lambda plan: forecast(plan, c).cost_s(c))


def alike(a: Circumstances, b: Circumstances) -> bool:
    """True if what is best in one is about as good in the other."""
    times = ((a.round_trip_s, b.round_trip_s), (a.job_s + a.token_s, b.job_s + b.token_s), (a.pass_s, b.pass_s))
    rows = ((4 * a.row_s, 4 * b.row_s), (a.others * a.session_s, b.others * b.session_s))
    near = all(abs(x - y) <= _CHANGE * b.pass_s for x, y in (*times, *rows))
    return near and all(abs(a.survival[n] - b.survival[n]) <= _CHANGE for n in (1, 2, 4, 8, 16))


def gain(plan: Plan, c: Circumstances) -> float:
    """How many times as long the cloud alone takes as with this plan."""
    return c.alone_s / max(1e-9, forecast(plan, c).cost_s(c))
