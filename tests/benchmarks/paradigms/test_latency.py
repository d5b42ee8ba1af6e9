"""Short and long answers: which questions, which ratios, which bars."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.clips import load_questions
from benchmarks.paradigms.latency import (
    DESCRIBE,
    JUDGED,
    LONG,
    SHORT,
    carried_on_ms,
    latency_figures,
    long_questions,
    short_questions,
)
from benchmarks.results import Run
from tests.benchmarks.paradigms.made import made_run


def run(label: str, setup: str = "7b", wanted: int = SHORT, **values: Any) -> Run:
    name, _, mode = label.partition("/")
    return made_run(name, mode, extra={"setup": setup, "wanted": wanted}, **values)


def test_long_answers_are_descriptions_and_short_ones_arent() -> None:
    known = load_questions()
    clips = list(dict.fromkeys(q.clip for q in known))
    long, short = long_questions(known, 99), short_questions(known, 6)
    assert {q.clip for q in long} == set(clips) and {q.question for q in long} == {DESCRIBE}
    lengths = [len(q.expected or "") for q in long]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] > 100
    assert sorted(q.clip for q in short) == sorted(clips)
    assert not {(q.clip, q.question) for q in long} & {(q.clip, q.question) for q in short_questions(known, 99)}


def test_an_answer_that_ended_early_is_carried_on_at_its_own_pace() -> None:
    assert carried_on_ms(run("cloud_only", tokens=5, total_ms=120.0, tpot_ms=10.0), 45) == 520.0
    assert carried_on_ms(run("cloud_only", tokens=45, total_ms=120.0, tpot_ms=10.0), 45) == 120.0


@pytest.mark.parametrize(
    ("ttft_ms", "total_ms", "reached"), [(350.0, 400.0, True), (360.0, 400.0, False), (350.0, 410.0, False)]
)
def test_the_bars_of_a_short_answer(ttft_ms: float, total_ms: float, reached: bool) -> None:
    runs = [
        run("cloud_only", ttft_ms=1000.0, total_ms=1200.0, tokens=5),
        run(JUDGED, ttft_ms=ttft_ms, total_ms=total_ms, tokens=5),
    ]
    base, figure = latency_figures(runs)
    assert not base.judged and figure.judged
    assert figure.reached is reached is figure.as_dict()["reached"]


def test_a_long_answer_is_judged_as_if_it_had_gone_on() -> None:
    runs = [
        run("cloud_only", wanted=LONG, ttft_ms=1000.0, total_ms=1250.0, tokens=25, tpot_ms=10.0),
        run(JUDGED, wanted=LONG, ttft_ms=100.0, total_ms=600.0, tokens=25, tpot_ms=20.0),
    ]
    figure = latency_figures(runs)[-1]
    assert figure.times_as_fast.median == pytest.approx(1250 / 600)
    assert figure.carried_on.median == pytest.approx(1450 / 1000)
    assert not figure.reached


def test_the_tiny_pair_stands_beside_without_a_bar() -> None:
    runs = [run("cloud_only", setup="tiny"), run(JUDGED, setup="tiny"), run(JUDGED, setup="alone")]
    figures = latency_figures(runs)
    assert [figure.setup for figure in figures] == ["tiny", "tiny"]  # without cloud_only there is no ratio
    assert not any(figure.judged for figure in figures) and figures[-1].as_dict()["reached"] is None
