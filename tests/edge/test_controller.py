"""The law against closed forms and the simulator; what is learnt; when drafting goes off and on."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation.cases import ByPosition, made_up_case
from benchmarks.simulation.fleet import Arrivals, Fleet, Questions
from benchmarks.simulation.knowledge import Knowledge
from benchmarks.simulation.link import LinkFigures
from benchmarks.simulation.modes import EAGER, PATIENT
from cloud.engine_limits import EngineLimits
from common.types import Commit, Pace, StepTimings
from edge.controller import Advice, Controller, DraftLength, Experience
from edge.draft_law import OFF, Circumstances, Plan, alike, best_plan, forecast, gain, plans, with_leads
from edge.estimates import HORIZON, DraftingEstimates, FadingFit
from tests.benchmarks.simulation.settings import deployment, plain_times

PASS_S, TOKEN_S = 0.03, 0.0075


def survival(rate: float) -> tuple[float, ...]:
    """Of a drafter that is right so often at every place."""
    return tuple(rate**n for n in range(HORIZON + 1))


def circumstances(rate: float, rtt_s: float = 0.02, **more: float) -> Circumstances:
    known = {"round_trip_s": rtt_s, "token_s": TOKEN_S, "job_s": 0.0, "pass_s": PASS_S, "row_s": 0.0, **more}
    return Circumstances(**known, survival=survival(rate))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ the law


def test_without_drafts_a_token_takes_a_pass() -> None:
    c = circumstances(0.5)
    assert forecast(OFF, c).cycle_s == pytest.approx(c.tokens * PASS_S)
    assert gain(OFF, c) == pytest.approx(1.0)


@pytest.mark.parametrize("length", [1, 4])
def test_a_drafter_that_is_never_right_costs_the_eager_nothing_and_the_patient_its_wait(length: int) -> None:
    c = circumstances(0.0)
    assert forecast(Plan(length, length, 16), c).cycle_s == pytest.approx(PASS_S)
    waiting = forecast(Plan(length, length, length, 1.0), c).cycle_s
    assert waiting == pytest.approx(0.02 + length * TOKEN_S + PASS_S, rel=0.01)


def test_a_patient_cloud_stops_waiting() -> None:
    c = circumstances(0.0, rtt_s=0.5)
    told = forecast(Plan(4, 4, 4, 0.1), c).cycle_s
    assert told == pytest.approx(0.1, rel=0.01)  # from one pass's beginning to the next one's is its patience


def test_with_a_perfect_drafter_it_is_the_drafters_pace_that_counts() -> None:
    c = circumstances(1.0, rtt_s=0.0)
    assert forecast(Plan(1, 1, 64), c).cycle_s / c.tokens == pytest.approx(TOKEN_S, rel=0.1)


@pytest.mark.parametrize("rate", [0.5, 0.85, 0.95])
@pytest.mark.parametrize("rtt_s", [0.005, 0.05, 0.2])
def test_further_away_is_never_faster(rate: float, rtt_s: float) -> None:
    for plan in (Plan(1, 1, 16), Plan(4, 4, 16), Plan(8, 8, 16, 0.2)):
        near, far = circumstances(rate, rtt_s), circumstances(rate, rtt_s + 0.1)
        assert forecast(plan, near).cycle_s <= forecast(plan, far).cycle_s + 1e-9


@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.3),
    st.floats(0.001, 0.05),
    st.floats(0.0, 0.005),
    st.integers(1, 16),
    st.integers(1, 32),
    st.booleans(),
)
def test_any_plan_in_any_circumstances_has_a_forecast(
    rate: float, rtt_s: float, token_s: float, row_s: float, length: int, ahead: int, patient: bool
) -> None:
    c = circumstances(rate, rtt_s, token_s=token_s, row_s=row_s)
    told = forecast(Plan(length, min(2, length), ahead, 0.2 if patient else 0.0), c)
    assert 0 < told.cycle_s < 1e3
    assert told.passes <= c.tokens + 1e-6  # every pass commits a token of the cycle
    if not patient:
        assert told.cycle_s <= c.tokens * PASS_S + told.rows * row_s + 1e-6  # it never waits


class _Fixed(DraftLength):
    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.length)
        self._plan = plan

    def count(self, ahead: int, committed: int, pace: Pace) -> int:
        return self._plan.count(ahead)


@pytest.mark.parametrize(
    "plan",
    [Plan(1, 1, 16), Plan(4, 4, 16), Plan(8, 2, 12), Plan(1, 1, 16, 0.2), Plan(4, 4, 16, 0.2), Plan(8, 8, 8, 0.2)],
    ids=str,
)
@pytest.mark.parametrize(("rtt_s", "token_ms", "row_ms"), [(0.007, 7.1, 0.0), (0.05, 7.1, 0.0), (0.05, 18.0, 0.5)])
def test_the_simulator_takes_as_long_as_the_law_says(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, rtt_s: float, token_ms: float, row_ms: float
) -> None:
    """The real session and engine, over long answers. No time is a multiple of another: phases mix."""
    step = [[1, PASS_S * 1e3], [101, PASS_S * 1e3 + 100 * row_ms]]
    times = plain_times(drafter__token_ms=token_ms, target__step=step, target__prompt_tokens=10)
    limits = EngineLimits(max_answer_tokens=1_000)
    on = deployment(times, LinkFigures(rtt=rtt_s), tokens_per_frame=1, max_ahead=64, limits=limits)
    pace = Pace.PATIENT if plan.patience_s else Pace.EAGER
    monkeypatch.setattr(Knowledge, "drafting", lambda self, mode, ahead: (_Fixed(plan), pace))
    rng = random.Random(1)
    cases = [made_up_case(number, 400, 1_000, rng) for number in range(8)]
    mode = replace(PATIENT if plan.patience_s else EAGER, patience_ms=round(plan.patience_s * 1e3))
    fleet = Fleet(on, mode, Questions(cases, ByPosition((), 0.8), True), 1, Arrivals(0.0, None, 0.0, each=8))
    fleet.run(1e4)
    took_s = mean(float(str(o.report["tpot_ms"])) for o in fleet.outcomes) / 1e3
    c = circumstances(0.8, rtt_s, token_s=token_ms / 1e3, row_s=row_ms / 1e3)
    assert forecast(plan, c).cycle_s / c.tokens == pytest.approx(took_s, rel=0.07)


@pytest.mark.parametrize("patience_s", [0.0, 0.2])
@pytest.mark.parametrize("rtt_s", [0.005, 0.1])
def test_the_best_plan_is_about_the_best_of_all(rtt_s: float, patience_s: float) -> None:
    c = circumstances(0.85, rtt_s, row_s=0.001)
    every = [lead for plan in plans(c, 16, patience_s) for lead in with_leads(plan, 16)]
    least = min(forecast(plan, c).cost_s(c) for plan in every)
    assert forecast(best_plan(c, 16, patience_s), c).cost_s(c) <= 1.03 * least


def test_dear_rows_call_for_less_ahead() -> None:
    cheap, dear = circumstances(0.7), circumstances(0.7, row_s=0.01)
    assert best_plan(dear, 16, 0.0).ahead < best_plan(cheap, 16, 0.0).ahead


def test_other_sessions_are_counted_in() -> None:
    alone, crowded = circumstances(0.8), replace(circumstances(0.8), others=10.0, session_s=0.003)
    eager, patient = Plan(1, 1, 16), Plan(4, 4, 16, 0.2)
    assert forecast(eager, crowded).cost_s(crowded) > forecast(eager, alone).cost_s(alone)
    advantage = gain(patient, crowded) / gain(eager, crowded)  # it makes fewer passes, and those cost the others time
    assert advantage > 1.02 * gain(patient, alone) / gain(eager, alone)


def test_alike() -> None:
    c = circumstances(0.8)
    assert alike(c, replace(c, round_trip_s=0.0201))
    assert not alike(c, replace(c, round_trip_s=0.03))
    assert not alike(c, circumstances(0.85))


# ---------------------------------------------------------------------------------------------- what is learnt


@given(st.floats(0.001, 0.1), st.floats(0.0, 0.02), st.integers(0, 2**32))
def test_a_fit_finds_its_line(base: float, slope: float, seed: int) -> None:
    rng, fit = random.Random(seed), FadingFit((0.0, 0.0), (1e-6, 0.5))
    for _ in range(60):
        x = rng.randrange(1, 17)
        fit.add((float(x),), base + slope * x)
    found = fit.solve()
    assert found[0] == pytest.approx(base, abs=0.02 * base + 0.1 * slope + 1e-6)
    assert found[1] == pytest.approx(slope, abs=0.05 * slope + 1e-6)


def test_a_fit_is_never_negative_and_shrugs_at_what_is_strange() -> None:
    fit = FadingFit((0.0, 0.0), (1e-6, 0.5))
    for x in (1.0, 2.0, 8.0, 1.0, 4.0, 8.0, 2.0, 1.0, 1.0):
        fit.add((x,), 0.03 - 0.001 * x)
    assert min(fit.solve()) >= 0
    before = fit.solve()[0]
    fit.add((1.0,), 30.0)  # a laptop that slept
    assert fit.solve()[0] < 2 * before


def test_the_round_trip_is_the_least_of_the_last_ones() -> None:
    estimates = DraftingEstimates()
    for seconds in (0.3, 0.05, 0.07):
        estimates.round_trip(seconds)
    assert estimates.round_trip_s == 0.05
    for _ in range(40):
        estimates.round_trip(0.2)  # the link got slower
    assert estimates.round_trip_s == 0.2


def test_places_have_rates_of_their_own_and_the_rest_shares_one() -> None:
    estimates = DraftingEstimates()
    for _ in range(200):
        estimates.checked_token(0, False)
        estimates.checked_token(1, True)
    rates = estimates.rates()
    assert rates[0] < 0.1
    assert rates[1] > 0.9
    assert 0.4 < rates[5] < 0.6  # never seen: what all places have in common


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=200))
def test_survival_falls(seen: list[tuple[int, bool]]) -> None:
    estimates = DraftingEstimates()
    for place, right in seen:
        estimates.checked_token(place, right)
    alive = estimates.survival()
    assert alive[0] == 1.0
    assert all(0 < later <= earlier for earlier, later in pairwise(alive))


# ------------------------------------------------------------------------------------------------- the controller


def learnt(rate: float, *, token_s: float = TOKEN_S, rtt_s: float = 0.02) -> DraftingEstimates:
    """Estimates that have seen a good deal."""
    estimates, rng = DraftingEstimates(), random.Random(3)
    for _ in range(300):
        place = 0
        while rng.random() < rate and place < 30:
            estimates.checked_token(place, True)
            place += 1
        estimates.checked_token(place, False)
    for count in (1, 4, 2, 8, 3) * 8:
        estimates.job(count, 0.0003 + count * token_s)
        estimates.passed(count, 1, PASS_S)
    estimates.round_trip(rtt_s)
    estimates.answered(40, 0.1)
    return estimates


def controller(estimates: DraftingEstimates, advice: Advice | None = None, asked: Pace | None = None) -> Controller:
    return Controller(estimates, advice or Advice(), 16, 0.2, asked)


def reflected(estimates: DraftingEstimates, advice: Advice | None = None, asked: Pace | None = None) -> Controller:
    """The controller of the answer after one that has reflected."""
    advice = advice or Advice()
    controller(estimates, advice, asked).reflect()
    return controller(estimates, advice, asked)


def test_nothing_is_known_at_first() -> None:
    first = controller(DraftingEstimates())
    assert first.pace is Pace.EAGER
    assert first.count(0, 0, Pace.EAGER) > 0
    assert first.count(4, 10, Pace.EAGER) > 0
    first.reflect()
    assert not first.off


def test_a_fast_drafter_drafts_and_a_slow_one_does_not() -> None:
    assert not reflected(learnt(0.85)).off
    slow = reflected(learnt(0.85, token_s=PASS_S))
    assert slow.off
    assert slow.count(0, 10, Pace.EAGER) == 0


def test_while_off_the_beginning_is_drafted_and_now_and_then_a_little() -> None:
    slow = reflected(learnt(0.85, token_s=PASS_S))
    assert slow.count(0, 0, Pace.EAGER) > 0
    probes = [slow.count(0, committed, Pace.EAGER) for committed in range(1, 200)]
    assert 1 <= sum(count > 0 for count in probes) <= 3
    assert sum(probes) <= 0.1 * 200


def test_it_comes_back_on_when_it_pays_and_does_not_flap() -> None:
    advice = Advice()
    assert reflected(learnt(0.85, token_s=PASS_S), advice).off
    assert not reflected(learnt(0.85), advice).off
    plan = advice.eager
    reflected(learnt(0.84), advice)
    assert advice.eager == plan


def test_the_askers_pace_wins_and_a_patient_cloud_gets_drafts() -> None:
    hopeless = learnt(0.1, rtt_s=0.3)
    assert reflected(hopeless).pace is Pace.EAGER
    patient = reflected(hopeless, asked=Pace.PATIENT)
    assert patient.pace is Pace.PATIENT
    assert not patient.off
    assert patient.count(0, 5, Pace.PATIENT) > 0


def test_far_away_it_asks_for_the_eager_pace() -> None:
    assert reflected(learnt(0.85, rtt_s=0.2)).pace is Pace.EAGER


def test_near_by_it_asks_for_the_patient_pace_where_that_is_faster() -> None:
    """A draft is there long before a lonely pass would have ended: waiting for it pays."""
    near = learnt(0.7, token_s=0.0015, rtt_s=0.0)
    near.lead_s = 1.0
    c = near.circumstances(16)
    assert gain(best_plan(c, 16, 0.2), c) > 1.05 * gain(best_plan(c, 16, 0.0), c)
    assert reflected(near).pace is Pace.PATIENT


def test_a_drafter_that_comes_late_makes_the_patient_pace_dear() -> None:
    late = learnt(0.7, token_s=0.0015, rtt_s=0.0)
    late.lead_s, late.tokens = -5.0, 6.0
    assert reflected(late).pace is Pace.EAGER


def test_the_clouds_limit_is_obeyed_and_the_plan_looked_at_again() -> None:
    estimates = learnt(0.95)
    one = controller(estimates)
    one.limit(3)
    assert one.count(0, 0, Pace.EAGER) <= 3
    for position in range(8):
        one.learn(Commit(position, (5,), timings=StepTimings(0, 30_000)))
    assert one.plan.length > 3  # nothing is searched for while a commit's drafts wait to go out
    one.think()
    assert 1 <= one.plan.length <= 3


def test_a_plan_is_searched_for_once_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[float] = []
    best = best_plan
    monkeypatch.setattr("edge.controller.best_plan", lambda c, *how: searched.append(c.pass_s) or best(c, *how))  # type: ignore[func-returns-value]
    estimates = learnt(0.9)
    one = controller(estimates)
    for position in range(40):
        one.learn(Commit(position, (5,), timings=StepTimings(0, 30_000)))
        one.think()
    assert len(searched) == 1
    for _ in range(60):
        estimates.passed(0, 1, 0.09)
    for position in range(40, 80):
        one.learn(Commit(position, (5,), timings=StepTimings(0, 90_000)))
        one.think()
    assert len(searched) == 2


def test_experience_is_shared_and_a_length_that_is_asked_for_is_kept() -> None:
    experience = Experience(estimates=learnt(0.9))
    assert isinstance(experience.drafts(0, None, 200, 16), Controller)
    fixed = experience.drafts(5, None, 200, 16)
    assert not isinstance(fixed, Controller)
    assert fixed.length == 5
    assert fixed.estimates is experience.estimates
    assert experience.pace(Pace.PATIENT) is Pace.PATIENT
    assert experience.pace(None) is Pace.EAGER


def test_the_heuristic_grows_and_shrinks() -> None:
    simple = DraftLength()
    simple.learn(Commit(0, (1, 2, 3, 4, 5), 4, 4))
    assert simple.length == 6
    simple.learn(Commit(5, (1,), 6, 0))
    assert simple.length == 5
    simple.limit(2)
    assert simple.length == 2
