"""What the model copies from the runtime because it can't call it: it must stay the same."""

from __future__ import annotations

from benchmarks.simulation import cloud
from benchmarks.simulation.cases import EVEN, Case, drafted, made_up_case
from benchmarks.simulation.traces import places_of
from common import frame_groups


def test_frames_go_on_in_groups_of_the_fronts_size() -> None:
    assert cloud.GROUP == frame_groups._GROUP


def test_frames_of_a_clip_come_out_of_its_decoder_in_order() -> None:
    from benchmarks.clips import load_questions

    places = places_of(load_questions()[0].video)
    assert len(places) == len(EVEN) == 8
    assert list(places) == sorted(places) and places[-1] == 1.0


def test_drafts_follow_the_traced_path_and_end_with_it() -> None:
    case = Case("c", "q", (10, 11, 12, 13, 2), 1, guesses=(10, 99, 12, 13, 2), paths={1: (99, 98, 2)})
    assert case.guesses is not None
    assert drafted(case, case.guesses, (), 1) == [10]
    assert drafted(case, case.guesses, (), 8) == [10, 99, 98, 2]
    assert drafted(case, case.guesses, (10, 99), 1) == [98]
    assert drafted(case, case.guesses, (10, 11), 8) == [12, 13, 2]


def test_untraced_wrong_paths_are_as_long_as_the_answer() -> None:
    import random

    case = made_up_case(0, 6, 1, random.Random(0))
    wrong = tuple(token + 1 for token in case.truth)
    ids = drafted(case, wrong, (), 16)
    assert len(ids) == 6 and ids[-1] == 2
    assert all(a != b for a, b in zip(ids[:-1], case.truth, strict=False))
