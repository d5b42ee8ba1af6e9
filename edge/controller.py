"""How much the drafter drafts, and what pace to ask the cloud for. Pure: times come in, in seconds.

`DraftLength` is the simple way: one length, or the heuristic of Hugging Face's assisted generation. `Controller`
follows the law in `edge/draft_law.py` with what its `DraftingEstimates` have learnt; `docs/controller.md` explains it.
Whatever they choose costs time, never text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from common.types import Commit, Pace
from edge.draft_law import LONGEST, OFF, Circumstances, Plan, alike, best_plan, forecast, gain
from edge.estimates import IDS, DraftingEstimates
from edge.form_choice import FormChoice

_BETTER = 0.99  # a new plan must cost so much less than the old one
_EAGER_MARGIN = 0.97  # and the patient pace than the eager one, which can't lose much where the estimates are wrong
_OFF_BELOW, _ON_ABOVE = 1.003, 1.01  # gains at which drafting goes off, and on again
_PROBE_EVERY = 64  # committed tokens; while off, this often
_PROBING = Plan(4, 2, 4)
_UNKNOWN = Plan(8, 2, 16)  # until link, drafter and target have been seen
_FIRST_LOOK = 4  # commits of an answer until its plan is looked at again; then twice as many, and so on
_LAST_STEP = 64


class DraftLength:
    """Fixed (`length` > 0) or adaptive (`length` 0) draft length, between 1 and `longest`.

    Adaptive: two more after a fully accepted draft, one less after a mismatch (the heuristic of Hugging Face's assisted
    generation, `transformers/generation/candidate_generator.py`).

    Attributes:
        estimates: what the session tells it of link, drafter and target.
        off: True while nothing is to be drafted.
        form: in which this answer's drafts travel; see `edge/form_choice.py`.
    """

    form: str = IDS

    def __init__(
        self, length: int = 0, *, start: int = 4, longest: int = 16, estimates: DraftingEstimates | None = None
    ) -> None:
        self.estimates = estimates or DraftingEstimates()
        self.off = False
        self._adaptive = length == 0
        self._length = start if length == 0 else min(length, longest)
        self._longest = longest

    @property
    def length(self) -> int:
        """Tokens in the next draft."""
        return self._length

    def count(self, ahead: int, committed: int, pace: Pace) -> int:
        """Tokens in the next draft; 0: none now.

        Args:
            ahead: tokens that are drafted and not committed yet.
            committed: committed tokens.
            pace: under the eager one nobody waits for the first draft after a rollback: it is short, so soon.
        """
        return min(self._length, max(2, ahead)) if pace is Pace.EAGER else self._length

    def limit(self, longest: int) -> None:
        """Obey the cloud's limit."""
        self._longest = max(1, min(self._longest, longest))
        self._length = min(self._length, self._longest)

    def learn(self, commit: Commit) -> None:
        """Take one verification into account."""
        if not self._adaptive or commit.drafted == 0:
            return
        step = 2 if commit.accepted == commit.drafted else -1
        self._length = max(1, min(self._longest, self._length + step))

    def think(self) -> None:
        """What goes out has gone out: draw conclusions for this answer, if it is time."""

    def reflect(self) -> None:
        """The answer has ended and nobody waits: draw conclusions for those to come."""


@dataclass(slots=True)
class Advice:
    """What the last look at the estimates came to: the best plan under each pace, and the better pace."""

    eager: Plan = _UNKNOWN
    patient: Plan = _UNKNOWN
    pace: Pace = Pace.EAGER
    seen: Circumstances | None = None  # at the last look


@dataclass
class Controller(DraftLength):
    """Chooses by the law. One for each answer; `estimates` and `advice` are shared by all answers of a daemon.

    Attributes:
        max_ahead: drafted tokens beyond the committed ones, at most.
        patience_s: how long the cloud would wait under the patient pace.
        asked: the asker's pace, which wins; None: the controller's own choice.
    """

    estimates: DraftingEstimates
    advice: Advice
    max_ahead: int
    patience_s: float
    asked: Pace | None = None
    off: bool = False
    form: str = IDS
    _max_draft: int = LONGEST
    _commits: int = 0
    _next_look: int = _FIRST_LOOK
    _probed_at: int = 0
    _due: bool = False
    _looked: Circumstances | None = None  # in this answer
    _pace: Pace = field(init=False)
    _plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self._pace = self.asked or self.advice.pace
        self._take(self._advised)

    @property
    def pace(self) -> Pace:
        """For `Open`."""
        return self._pace

    @property
    def plan(self) -> Plan:
        """What it follows now."""
        return self._plan

    @property
    def length(self) -> int:
        return self._plan.length or _PROBING.length

    @property
    def _advised(self) -> Plan:
        return self.advice.eager if self._pace is Pace.EAGER else self.advice.patient

    def count(self, ahead: int, committed: int, pace: Pace) -> int:
        """Tokens in the next draft; 0: none now.

        What is drafted before the first commit hides behind upload and prefill and is checked with the prompt: it is
        drafted even while drafting is off, and tells whether it still should be.
        """
        if committed == 0:
            beginning = replace(self._plan if self._plan.length else _PROBING, ahead=self._max_draft)
            return beginning.count(ahead)
        if not self.off:
            return self._plan.count(ahead)
        if committed - self._probed_at < _PROBE_EVERY:
            return 0
        self._probed_at = committed
        return _PROBING.length

    def limit(self, longest: int) -> None:
        self._max_draft = max(1, longest)

    def learn(self, commit: Commit) -> None:
        """Count a commit; now and then it is time to look at the plan again."""
        self._commits += 1
        if self._commits == self._next_look:
            self._next_look += min(self._commits, _LAST_STEP)
            self._due = True

    def think(self) -> None:
        if self._due:
            self._due = False
            self.reconsider()

    def reconsider(self) -> None:
        """Look at this answer's plan again, under its pace: some milliseconds, where things have changed."""
        c = self._changed()
        if c is not None and (self._looked is None or not alike(c, self._looked)):
            self._looked = c
            self._look(self._pace, c)
            self._take(self._advised)

    def reflect(self) -> None:
        """Look at everything again, for the answers to come. Takes some milliseconds: call it when nobody waits."""
        c = self._changed()
        if c is None:
            return
        self.advice.seen = c
        eager, patient = self._look(Pace.EAGER, c), self._look(Pace.PATIENT, c)
        waits_s = min(self.patience_s, max(0.0, -self.estimates.lead_s))  # for a drafter that isn't ready in time
        cycles = max(1.0, self.estimates.tokens / c.tokens)
        better, margin = patient + waits_s / cycles, 1 / _BETTER if self.advice.pace is Pace.PATIENT else 1.0
        self.advice.pace = Pace.PATIENT if better < eager * _EAGER_MARGIN * margin else Pace.EAGER

    def _changed(self) -> Circumstances | None:
        """What the law needs to know, if that is known and not what it was at the last look."""
        if not self.estimates.known:
            return None
        c = self.estimates.circumstances(self._max_draft, self.form)
        return None if self.advice.seen is not None and alike(c, self.advice.seen) else c

    def _look(self, pace: Pace, c: Circumstances) -> float:
        """Bring the advice under a pace up to date; returns what a cycle costs then."""
        if pace is Pace.EAGER:
            best = best_plan(c, self.max_ahead, 0.0)
            self.advice.eager = plan = _on_or_off(self.advice.eager, _steady(self.advice.eager, best, c), c)
        else:  # a cloud that waits for drafts must get some
            best = best_plan(c, self.max_ahead, self.patience_s)
            self.advice.patient = plan = _steady(self.advice.patient, best, c)
        return forecast(plan, c).cost_s(c)

    def _take(self, plan: Plan) -> None:
        self._plan, self.off = plan, plan.length == 0


@dataclass(slots=True)
class Experience:
    """What a daemon's answers have learnt, one from the other."""

    estimates: DraftingEstimates = field(default_factory=DraftingEstimates)
    advices: dict[str, Advice] = field(default_factory=dict)
    choice: FormChoice = field(init=False)

    def __post_init__(self) -> None:
        self.choice = FormChoice(self.estimates)

    @property
    def advice(self) -> Advice:
        """About drafts of ids."""
        return self.advised(IDS)

    def advised(self, form: str) -> Advice:
        """About drafts of this form."""
        return self.advices.setdefault(form, Advice())

    def drafts(self, length: int, pace: Pace | None, patience_ms: int, max_ahead: int, form: str = IDS) -> DraftLength:
        """For one answer: drafts of the length that was asked for, or the controller's choice (0)."""
        if length:
            fixed = DraftLength(length, estimates=self.estimates)
            fixed.form = form
            return fixed
        return Controller(self.estimates, self.advised(form), max_ahead, patience_ms / 1e3, pace, form=form)

    def pace(self, pace: Pace | None, form: str = IDS) -> Pace:
        """The pace that was asked for, or the controller's choice (None)."""
        return pace or self.advised(form).pace


def _steady(old: Plan, new: Plan, c: Circumstances) -> Plan:
    """The new plan if it is enough better than the old one: no flapping."""
    old = replace(old, patience_s=new.patience_s)
    better = (
        not old.length
        or old == replace(_UNKNOWN, patience_s=old.patience_s)
        or forecast(new, c).cost_s(c) < _BETTER * forecast(old, c).cost_s(c)
    )
    return new if better else old


def _on_or_off(old: Plan, plan: Plan, c: Circumstances) -> Plan:
    """The plan if it gains enough against the cloud alone; more is needed to begin than to go on."""
    return plan if gain(plan, c) >= (_OFF_BELOW if old.length else _ON_ABOVE) else OFF
