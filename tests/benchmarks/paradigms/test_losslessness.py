from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paradigms.losslessness import LosslessError, differences, require_lossless
from tests.benchmarks.paradigms.made import made_run


def test_equal_answers_of_all_paradigms_and_repetitions_pass() -> None:
    runs = [made_run(), made_run("stream_to_cloud", "tokens-eager"), made_run(repetition=1)]
    require_lossless(runs)


def test_one_other_token_fails_and_both_answers_are_named() -> None:
    runs = [made_run(), made_run("colocated", token_ids=[5, 9, 2])]
    with pytest.raises(LosslessError) as caught:
        require_lossless(runs)
    text = str(caught.value)
    assert "race" in text and "What moves?" in text and "token 1" in text
    assert "cloud_only" in text and "colocated" in text and "[5, 6, 2]" in text and "[5, 9, 2]" in text


@pytest.mark.parametrize("ids", [[5, 6], [5, 6, 2, 2], []])
def test_a_shorter_or_longer_answer_is_another(ids: list[int]) -> None:
    assert differences([made_run(), made_run("colocated", token_ids=ids)])


def test_lossy_paradigms_may_say_something_else() -> None:
    require_lossless([made_run("edge_only", lossless=False, token_ids=[1]), made_run()])


@pytest.mark.parametrize("other", [{"seed": 1}, {"question": "?"}, {"clip": "busy"}, {"temperature": 0.7}])
def test_only_the_same_question_is_compared(other: dict[str, Any]) -> None:
    require_lossless([made_run(), made_run("colocated", token_ids=[1, 2], **other)])


@given(st.lists(st.sampled_from([(5, 6, 2), (5, 7, 2)]), min_size=1, max_size=6))
def test_it_fails_exactly_if_answers_differ(answers: list[tuple[int, ...]]) -> None:
    runs = [made_run(token_ids=list(ids), repetition=number) for number, ids in enumerate(answers)]
    assert bool(differences(runs)) == (len(set(answers)) > 1)
