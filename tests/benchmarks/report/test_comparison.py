from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.comparison import Verdict, compare, contrast
from benchmarks.report.lossless import check_lossless
from benchmarks.report.settings import Setting, settings_of
from benchmarks.report.sources import Source
from benchmarks.results import Run
from tests.benchmarks.report.samples import link, record, run


def settings(runs: Sequence[Run], command: str = "compare") -> list[Setting]:
    return settings_of([Source("a.json", record(runs, command))])


def series(paradigm: str, times: Sequence[float]) -> list[Run]:
    return [run(paradigm, time, repetition=i) for i, time in enumerate(times)]


def test_the_ratio_is_the_median_of_ratios_answer_by_answer() -> None:
    base = series("cloud_only", [100, 200, 400, 1000])
    own = series("stream_to_cloud", [50, 100, 400, 250])
    held = contrast(own, base, "total_ms")
    assert held is not None
    assert held.ratio == 2.0
    assert (held.pairs, held.slower) == (4, 0)


def test_answers_that_cannot_be_paired_give_the_ratio_of_medians() -> None:
    base = [run("cloud_only", 300.0, clip="a")]
    own = [run("stream_to_cloud", 100.0, clip="b")]
    held = contrast(own, base, "total_ms")
    assert held is not None
    assert (held.ratio, held.pairs, held.verdict) == (3.0, 0, Verdict.TOO_FEW)


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        ([50, 50, 50, 50], Verdict.FASTER),
        ([200, 200, 200, 200], Verdict.SLOWER),
        ([99, 99, 99, 99], Verdict.UNCLEAR),
        ([50, 50, 150, 150], Verdict.UNCLEAR),
        ([50, 50, 50], Verdict.TOO_FEW),
    ],
)
def test_a_difference_counts_where_most_answers_agree(times: list[float], verdict: Verdict) -> None:
    held = contrast(series("stream_to_cloud", times), series("cloud_only", [100.0] * len(times)), "total_ms")
    assert held is not None
    assert held.verdict is verdict


@given(st.lists(st.tuples(st.floats(1, 1e5), st.floats(1, 1e5)), min_size=1, max_size=20))
def test_turning_a_contrast_round_turns_its_verdict(times: list[tuple[float, float]]) -> None:
    own, base = (series(p, side) for p, side in zip(("a", "b"), zip(*times, strict=True), strict=True))
    there, back = contrast(own, base, "total_ms"), contrast(base, own, "total_ms")
    assert there is not None
    assert back is not None
    assert not (there.verdict is Verdict.FASTER and back.verdict is Verdict.FASTER)
    assert not (there.verdict is Verdict.SLOWER and back.verdict is Verdict.SLOWER)
    assert there.low <= there.ratio <= there.high


def test_without_first_tokens_there_is_no_ratio() -> None:
    assert contrast([run(ttft_ms=None)], [run()], "ttft_ms") is None


def test_a_row_counts_equal_and_right_answers() -> None:
    runs = [
        run("cloud_only", expected="A ring."),
        run("edge_only", 10.0, token_ids=[9, 2], answer="A cone.", expected="A ring.", link={}),
        run("edge_only", 10.0, repetition=5, link={}),
    ]
    (setting,) = settings(runs)
    row = compare(setting).row("edge_only")
    assert row is not None
    assert (row.same, row.comparable, row.right, row.judged, row.lossless) == (0, 1, 0, 1, False)


def test_runs_without_a_link_belong_to_every_link_of_their_record() -> None:
    runs = [run(link=link(5.0)), run(link=link(50.0)), run("in_process", link={}, backend="loopback")]
    found = settings(runs)
    assert [setting.link["rtt_ms"] for setting in found] == [5.0, 50.0]
    assert all("in_process" in setting.labels for setting in found)


def test_replayed_and_real_runs_are_never_one_setting() -> None:
    found = settings([run(), run(replayed="7b"), run("edge_only", link={})])
    assert [(setting.replayed, len(setting.runs)) for setting in found] == [("", 2), ("7b", 1)]


def test_fleets_are_not_compared_answer_by_answer() -> None:
    assert settings([run()], "capacity") == []
    assert settings([run()], "simulate") == []


def test_lossless_answers_that_differ_are_found() -> None:
    runs = [run(), run("stream_to_cloud", token_ids=[5, 6, 8, 2]), run("edge_only", token_ids=[1])]
    check = check_lossless([Source("a.json", record(runs))])
    assert (check.questions, check.answers, len(check.found)) == (1, 2, 1)
    assert check.found[0].other.paradigm == "stream_to_cloud"


def test_lossless_answers_that_agree_pass_and_those_without_ids_are_told() -> None:
    runs = [run(), run("stream_to_cloud"), run("colocated", token_ids=[])]
    check = check_lossless([Source("a.json", record(runs))])
    assert (check.found, check.unchecked, check.labels) == ((), 1, ("cloud_only", "stream_to_cloud"))
