from benchmarks.report.comparison import compare
from benchmarks.report.findings import EVEN, LOSS, NOTE, WIN, Findings, findings_of
from benchmarks.report.settings import settings_of
from benchmarks.report.sources import Source
from benchmarks.report.wording import shown
from benchmarks.results import Run
from tests.benchmarks.report.samples import link, record, run


def found(*runs: Run, command: str = "compare") -> list[Findings]:
    sources = [Source("a.json", record(runs, command))]
    return findings_of([compare(setting) for setting in settings_of(sources)])


def answers(paradigm: str, total_ms: float, ttft_ms: float, **more: object) -> list[Run]:
    return [run(paradigm, total_ms, ttft_ms=ttft_ms, repetition=i, **more) for i in range(5)]


def lines(findings: Findings, tone: str) -> str:
    return "\n".join(line for item in findings.items if item.tone == tone for line in item.lines)


def test_wins_and_losses_are_told_apart_by_metric() -> None:
    (findings,) = found(*answers("cloud_only", 200.0, 50.0), *answers("stream_to_cloud", 100.0, 100.0))
    assert "cloud only, total time" in lines(findings, WIN)
    assert "2.00\N{MULTIPLICATION SIGN} as fast (100 ms against 200 ms; slower on 0 of 5" in lines(findings, WIN)
    assert "cloud only, time to first token" in lines(findings, LOSS)
    assert "0.50\N{MULTIPLICATION SIGN} as fast" in lines(findings, LOSS)


def test_losing_to_colocated_is_said_although_cloud_only_is_beaten() -> None:
    (findings,) = found(
        *answers("cloud_only", 200.0, 50.0),
        *answers("stream_to_cloud", 100.0, 25.0),
        *answers("colocated", 50.0, 12.0),
    )
    assert "Against cloud only" not in lines(findings, LOSS)
    assert "Against colocated, total time" in lines(findings, LOSS)


def test_where_nothing_is_lost_no_loss_is_made_up() -> None:
    (findings,) = found(*answers("cloud_only", 200.0, 50.0), *answers("stream_to_cloud", 100.0, 25.0))
    assert lines(findings, LOSS) == ""
    assert "Nothing measured here has stream to cloud losing" in lines(findings, NOTE)


def test_equal_times_are_even_and_few_answers_are_too_few() -> None:
    (findings,) = found(*answers("cloud_only", 100.0, 50.0), *answers("stream_to_cloud", 100.0, 50.0))
    assert "Against cloud only, no clear difference in total time (stream to cloud" in lines(findings, EVEN)
    (few,) = found(run("cloud_only", 200.0), run("stream_to_cloud", 100.0))
    assert "fewer than 4 answers" in lines(few, NOTE)
    assert lines(few, WIN) == ""


def test_many_links_are_counted_and_the_worst_is_named() -> None:
    runs = []
    for rtt, speed in ((5.0, 2.0), (50.0, 1.5), (200.0, 0.5)):
        at = link(rtt)
        runs += answers("cloud_only", 120.0, 60.0, link=at) + answers("stream_to_cloud", 120 / speed, 60.0, link=at)
    (findings,) = found(*runs, command="sweep")
    assert findings.where == "sweep: 3 links (tun)"
    assert "at 2 of 3 links, up to 2.00" in lines(findings, WIN)
    assert "at 1 of 3 links, down to 0.50" in lines(findings, LOSS)
    assert "RTT 200 ms" in lines(findings, LOSS)


def test_more_passes_and_more_bytes_are_losses() -> None:
    (findings,) = found(
        *answers("cloud_only", 100.0, 50.0, target_passes=4, uplink_bytes={"video": 100}),
        *answers("stream_to_cloud", 50.0, 25.0, target_passes=6, uplink_bytes={"video": 100, "drafts": 50}),
    )
    assert "1.5 passes a token" in lines(findings, LOSS)
    assert "1.50\N{MULTIPLICATION SIGN} those of cloud only" in lines(findings, LOSS)


def test_the_edge_alone_is_never_a_win() -> None:
    (findings,) = found(
        *answers("cloud_only", 100.0, 50.0, expected="A ring."),
        *answers("stream_to_cloud", 100.0, 50.0),
        *answers("edge_only", 1.0, 1.0, link={}, token_ids=[8, 2], answer="A cone.", expected="A ring."),
    )
    assert "0% of its answers are the large model's, 0% are right (the large model's: 100%)" in lines(findings, NOTE)
    assert "edge" not in lines(findings, WIN)


def test_replayed_results_are_a_family_of_their_own() -> None:
    real, replayed = found(
        *answers("cloud_only", 100.0, 50.0),
        *answers("stream_to_cloud", 100.0, 50.0),
        *answers("cloud_only", 100.0, 50.0, replayed="7b"),
        *answers("stream_to_cloud", 100.0, 50.0, replayed="7b"),
    )
    assert (real.replayed, replayed.replayed) == ("", "7b")


def test_without_a_baseline_nothing_is_claimed() -> None:
    (findings,) = found(*answers("stream_to_cloud", 1.0, 1.0))
    assert [item.tone for item in findings.items] == [NOTE]
    assert "No run of cloud only" in lines(findings, NOTE)


def test_what_is_streamed_ahead_is_called_so_and_isnt_the_rival_of_what_isnt() -> None:
    assert shown("cloud_only/ahead") == "cloud only · streamed ahead"
    assert shown("stream_to_cloud/tokens-eager-ahead") == "stream to cloud · tokens-eager, streamed ahead"
    assert shown("stream_to_cloud/tokens-eager") == "stream to cloud · tokens-eager"
    (findings,) = found(
        *answers("cloud_only", 200.0, 50.0),
        *answers("cloud_only", 90.0, 20.0, mode="ahead"),
        *answers("stream_to_cloud", 150.0, 50.0, mode="tokens-eager"),
        *answers("stream_to_cloud", 60.0, 20.0, mode="tokens-eager-ahead"),
    )
    against_ahead = [line for line in lines(findings, WIN).splitlines() if line.startswith("Against cloud only · stre")]
    assert against_ahead and all("tokens-eager, streamed ahead" in line for line in against_ahead)
    assert not any("tokens-eager is" in line for line in against_ahead)


def test_the_headline_names_the_fastest_verified_ways_with_and_without_streaming_ahead() -> None:
    (findings,) = found(
        *answers("edge_only", 10.0, 5.0),
        *answers("in_process", 20.0, 5.0, mode="generate"),
        *answers("cloud_only", 200.0, 50.0),
        *answers("colocated", 150.0, 12.0),
        *answers("stream_to_cloud", 180.0, 25.0, mode="tokens-eager"),
        *answers("cloud_only", 90.0, 50.0, mode="ahead"),
        *answers("stream_to_cloud", 80.0, 25.0, mode="tokens-eager-ahead"),
    )
    together, ahead = findings.headline.split(". ")
    assert (
        "colocated is the fastest way to a verified answer, 150 ms" in together and "cloud only takes 200" in together
    )
    assert "tokens-eager, streamed ahead is the fastest" in ahead and "streamed ahead takes 90 ms" in ahead


def test_the_headline_of_many_links_counts_them() -> None:
    runs = []
    for rtt, total in ((5.0, 90.0), (50.0, 95.0), (200.0, 150.0)):
        at = link(rtt)
        runs += answers("cloud_only", 120.0, 60.0, link=at) + answers("stream_to_cloud", total, 60.0, link=at)
    (findings,) = found(*runs, command="sweep")
    assert "over 3 links, is stream to cloud at 2, cloud only at 1." in findings.headline


def test_without_a_rival_there_is_no_headline() -> None:
    (findings,) = found(*answers("cloud_only", 120.0, 60.0))
    assert findings.headline == ""
