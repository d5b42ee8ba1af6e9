from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.clips import load_questions
from benchmarks.paradigms.catalogue import CLOUD_ONLY, CLOUD_ONLY_AHEAD, PARADIGMS
from benchmarks.paradigms.plan import Plan, turns, warm_up_turns

PLAIN = [paradigm for paradigm in PARADIGMS if not paradigm.ahead]


def make_plan(paradigms: int, questions: int, repetitions: int, warm_up: int = 1) -> Plan:
    return Plan(PLAIN[:paradigms], load_questions()[:questions], repetitions, warm_up=warm_up)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4))
def test_everything_is_asked_exactly_once_a_repetition(paradigms: int, questions: int, repetitions: int) -> None:
    plan = make_plan(paradigms, questions, repetitions)
    asked = Counter((t.paradigm.label, t.question.clip, t.question.question, t.repetition) for t in turns(plan))
    assert len(asked) == plan.size == paradigms * questions * repetitions
    assert set(asked.values()) == {1}


@given(st.integers(2, 5), st.integers(1, 6))
def test_paradigms_take_turns_within_each_question(paradigms: int, questions: int) -> None:
    order = list(turns(make_plan(paradigms, questions, 2)))
    for start in range(0, len(order), paradigms):
        together = order[start : start + paradigms]
        assert len({t.paradigm.label for t in together}) == paradigms
        assert len({(t.question.clip, t.question.question, t.repetition) for t in together}) == 1


def test_who_begins_moves_on() -> None:
    plan = make_plan(3, 3, 3)
    firsts = Counter(turn.paradigm.label for turn in list(turns(plan))[::3])
    assert set(firsts.values()) == {3}


def test_warm_up_asks_every_paradigm_and_counts_as_no_repetition() -> None:
    warm = list(warm_up_turns(make_plan(3, 2, 5, warm_up=4)))
    assert len(warm) == 12
    assert {turn.repetition for turn in warm} == {-1}
    assert set(Counter(turn.paradigm.label for turn in warm).values()) == {4}


def test_who_streams_ahead_answers_less_often_and_in_the_same_place() -> None:
    paradigms = (CLOUD_ONLY, CLOUD_ONLY_AHEAD)
    plan = Plan(paradigms, load_questions()[:3], repetitions=3, warm_up=2, ahead_repetitions=2)
    found = list(turns(plan))
    assert len(found) == plan.size == 3 * 3 + 3 * 2
    assert {turn.repetition for turn in found if turn.paradigm.ahead} == {0, 1}
    assert [turn.paradigm.label for turn in warm_up_turns(plan)] == ["cloud_only", "cloud_only/ahead", "cloud_only"]
