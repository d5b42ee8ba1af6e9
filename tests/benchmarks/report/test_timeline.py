from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.timeline import (
    lane_of,
    length,
    median_question,
    median_run,
    overlap,
    stage_times,
    timeline_of,
    union,
)
from tests.benchmarks.report.samples import run, span

interval = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (float(min(pair)), float(max(pair))))
intervals = st.lists(interval, max_size=12)


def moments(spans: list[tuple[float, float]]) -> set[int]:
    """The whole milliseconds that intervals with whole bounds cover."""
    return {at for start, end in spans for at in range(int(start), int(end))}


@given(intervals)
def test_a_union_covers_the_same_time_once(spans: list[tuple[float, float]]) -> None:
    found = union(spans)
    assert moments(found) == moments(spans)
    assert length(found) == len(moments(spans))
    assert all(left[1] < right[0] for left, right in pairwise(found))


@given(intervals, intervals)
def test_an_overlap_is_the_time_in_both(left: list[tuple[float, float]], right: list[tuple[float, float]]) -> None:
    assert moments(overlap(union(left), union(right))) == moments(left) & moments(right)


@given(st.lists(st.tuples(st.sampled_from(["draft", "load", "odd"]), interval), max_size=25))
def test_no_span_of_a_lane_covers_another(spans: list[tuple[str, tuple[float, float]]]) -> None:
    stages = [span(name, "edge", *times) for name, times in spans]
    lane = timeline_of(run(stages=stages)).lanes[0]
    assert sorted((s.name, s.start, s.end) for s in lane.spans) == sorted((n, *t) for n, t in spans)
    assert all(0 <= s.row < lane.rows for s in lane.spans)
    for i, one in enumerate(lane.spans):
        for other in lane.spans[i + 1 :]:
            assert one.row != other.row or one.end <= other.start or other.end <= one.start


def test_uploads_are_the_links_and_unknown_sides_get_a_lane() -> None:
    assert lane_of(span("video_upload", "edge", 0, 1)) == "link"
    assert lane_of(span("verify", "cloud", 0, 1)) == "cloud"
    assert lane_of(span("anything", "moon", 0, 1)) == "moon"
    line = timeline_of(run(stages=[span("new_stage", "moon", 0, 1)]))
    assert [lane.name for lane in line.lanes] == ["edge", "link", "cloud", "moon"]


def test_hidden_is_the_edges_work_beside_link_and_cloud() -> None:
    stages = [
        span("load", "edge", 0, 10),
        span("draft", "edge", 10, 40),
        span("draft", "edge", 30, 50),
        span("video_upload", "edge", 20, 35),
        span("prefill", "cloud", 35, 45),
    ]
    line = timeline_of(run(stages=stages))
    assert line.edge_work_ms == 50
    assert line.hidden == ((20, 45),)
    assert line.hidden_ms == 25


def test_the_median_run_is_of_the_median_question() -> None:
    stages = [span("load", "edge", 0, 1)]
    runs = [
        run(total_ms=total, clip=clip, repetition=i, stages=stages)
        for clip, totals in {"quick": (1, 2, 3), "middle": (20, 40, 30), "slow": (500, 600, 700)}.items()
        for i, total in enumerate(totals)
    ]
    question = median_question(runs)
    assert question == ("middle", "What moves?")
    chosen = median_run(runs, question)
    assert chosen is not None
    assert chosen.total_ms == 30


def test_runs_without_stages_have_no_timeline() -> None:
    assert median_question([run()]) is None
    assert median_run([run()]) is None


def test_stage_times_sum_the_spans_of_an_answer() -> None:
    stages = [span("draft", "edge", 0, 2), span("draft", "edge", 5, 9), span("prefill", "cloud", 1, 4)]
    found = {stage.name: stage for stage in stage_times([run(stages=stages), run()])}
    assert (found["draft"].median_ms, found["draft"].spans, found["draft"].runs) == (6, 2, 1)
    assert found["prefill"].lane == "cloud"
