from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paradigms.five_stages import common, length, overlap, stage_figures, union
from benchmarks.results import Run
from tests.benchmarks.paradigms.made import made_run

spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda p: (float(p[0]), float(p[0] + p[1]))), max_size=12
)


def covered(some: list[tuple[float, float]]) -> set[int]:
    return {tick for start, end in some for tick in range(int(start), int(end))}


@given(spans)
def test_union_covers_the_same_in_order_and_apart(some: list[tuple[float, float]]) -> None:
    joined = union(some)
    assert covered(joined) == covered(some)
    assert all(first[1] < second[0] for first, second in pairwise(joined))
    assert length(some) == len(covered(some))


@given(spans, spans)
def test_common_is_what_both_cover(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> None:
    assert covered(common(one, other)) == covered(one) & covered(other)
    assert length(common(one, other)) == length(common(other, one))


def staged(*named: tuple[str, float, float], **extra: object) -> Run:
    stages = [{"name": name, "side": "edge", "start_ms": start, "end_ms": end} for name, start, end in named]
    return made_run("stream_to_cloud", "tokens-eager", stages=stages, extra=extra)


def test_overlap_free_drafts_and_the_logs_estimate() -> None:
    run = staged(
        ("drafter_prefill", 10.0, 20.0),
        ("draft", 20.0, 40.0),
        ("draft", 100.0, 110.0),
        ("video_upload", 5.0, 60.0),
        ("prefill", 60.0, 90.0),
        free_drafts=6,
        draft_tokens_made=10,
    )
    found = overlap(run)
    assert found is not None
    assert found.overlap_ms == 70.0
    assert found.free_drafts == 6
    assert found.estimated == 23  # 70 ms at 30 ms / 10 tokens
    assert found.hidden == pytest.approx(30.0 / 40.0)  # the last draft lay beside nothing


def test_one_model_alone_has_no_overlap() -> None:
    assert overlap(staged(("prefill", 0.0, 1.0))) is None


def test_reading_the_clip_is_the_targets_where_nothing_drafts() -> None:
    (figures,) = stage_figures([staged(("load", 0.0, 2.0))])
    assert (figures.model, figures.stage, figures.busy_ms.median) == ("target", "load", 2.0)
    drafting = stage_figures([staged(("load", 0.0, 2.0), ("drafter_prefill", 2.0, 3.0))])
    assert [(f.model, f.stage) for f in drafting] == [("drafter", "load"), ("drafter", "prefill")]
