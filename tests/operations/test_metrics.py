"""Counters, histograms and their page without daemons: sums, words, positions, what may be listened on."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.config import CloudSettings
from cloud.engine_stats import EngineStats, EngineTotals
from cloud.metrics import METRICS as CLOUD
from cloud.metrics import engine_families
from common.access import Scope, new_token, render_tokens
from common.certificates import write_authority
from common.errors import CapacityError, SettingsError
from common.metrics import Family, Histogram, Kind, Metric, at_least, by, one
from common.metrics_server import MetricsServer
from common.security import Security, TlsFiles
from common.types import Commit, Failure, FailureCode, Finished, FinishReason, StepTimings
from edge.config import EdgeSettings
from edge.counters import EdgeCounters
from edge.metrics import METRICS as EDGE
from edge.metrics import EdgeMetrics
from tests.operations.scraping import ROOT, scrape

RUNS = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)).map(lambda n: (max(n), min(n))), max_size=30)


@settings(derandomize=True, deadline=None)
@given(runs=RUNS)
def test_positions_are_counted_by_length(runs: list[tuple[int, int]]) -> None:
    stats = EngineStats()
    for drafted, accepted in runs:
        stats.commit(Commit(0, (1,) * (accepted + 1), drafted, accepted))
    naive = [sum(accepted > place for _, accepted in runs) for place in range(16)]
    while naive and not naive[-1]:
        naive.pop()
    assert at_least(stats.accepted_lengths) == naive
    assert sum(naive) == stats.accepted
    assert stats.verifications == sum(drafted > 0 for drafted, _ in runs)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(runs=RUNS, forward_us=st.lists(st.integers(0, 2**40), max_size=8))
def test_words_carry_everything(runs: list[tuple[int, int]], forward_us: list[int]) -> None:
    stats = EngineStats(opened=7, kv_tokens=900)
    for drafted, accepted in runs:
        stats.commit(Commit(0, (1,), drafted, accepted, timings=StepTimings(3, 4)))
    for took in forward_us:
        stats.forwarded(took, 2)
    stats.told(Finished(FinishReason.LENGTH, 3))
    stats.told(Failure(FailureCode.CAPACITY, "full"))
    words = stats.words()
    assert EngineStats.of_words(array("Q", [*words, 5, 5])) == stats
    assert len(words) * 8 <= 8192


def test_an_engine_that_died_keeps_its_counts(tmp_path: Path) -> None:
    from cloud.engine_stats import StatsPage

    totals = EngineTotals()
    for number, committed in enumerate((5, 0, 2)):
        page = tmp_path / f"{number}"
        totals.begin(page)
        StatsPage(page).write(EngineStats(committed=committed, kv_tokens=committed, finished=[committed, 0, 0]))
    now = totals.now()
    assert (now.committed, now.finished[0], now.kv_tokens) == (7, 7, 2)


def test_histograms_are_cumulative() -> None:
    histogram = Histogram((0.01, 0.1))
    for value_us in (1, 10_000, 10_001, 100_000, 5_000_000):
        histogram.observe(value_us)
    assert histogram.buckets == [("0.01", 2), ("0.1", 4), ("+Inf", 5)]
    assert histogram.sum_us == 5_120_002


def test_every_metric_is_read_and_named_by_the_rules() -> None:
    edge = EdgeMetrics(EdgeCounters(), "tiny", lambda: 0).read()
    assert {family.metric for family in edge} == set(EDGE)
    assert {family.metric for family in engine_families(EngineStats())} < set(CLOUD)
    for metric in (*CLOUD, *EDGE):
        assert re.fullmatch(r"eventspec_(edge|cloud)_[a-z0-9_]+", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_created"))
    names = [metric.name for metric in (*CLOUD, *EDGE)]
    assert len(names) == len(set(names))


def test_the_documentation_lists_exactly_what_there_is() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    told = set(re.findall(r"`(eventspec_(?:edge|cloud)_[a-z0-9_]+)`", text))
    assert told == {metric.published for metric in (*CLOUD, *EDGE)}


def test_a_failed_question_is_counted_by_code() -> None:
    counters = EdgeCounters()
    counters.failure(CapacityError("full"))
    assert counters.failed == {"capacity": 1}


def test_a_scrape_over_http() -> None:
    requests, seconds = Metric("requests", Kind.COUNTER, "x", ("kind",)), Metric("seconds", Kind.HISTOGRAM, "y")

    def read() -> list[Family]:
        histogram = Histogram((1.0,))
        histogram.observe(2_500_000)
        return [by(requests, {"a": 3.0}), one(seconds, histogram)]

    server = MetricsServer("127.0.0.1:0", read)
    try:
        found = scrape(f"http://{server.address}/metrics")
        assert found.value("requests_total", kind="a") == 3
        assert found.value("seconds_bucket", le="1.0") == 0
        assert found.value("seconds_bucket", le="+Inf") == found.value("seconds_count") == 1
        assert found.value("seconds_sum") == 2.5
        with pytest.raises(SettingsError, match="choose another"):
            MetricsServer(server.address, read)
    finally:
        server.close()
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        scrape(f"http://{server.address}/metrics")


def test_who_connects_and_says_nothing_holds_few_places() -> None:
    server = MetricsServer("127.0.0.1:0", lambda: [])
    host, _, port = server.address.rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(8)]
    try:
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"http://{server.address}/metrics", timeout=2)
    finally:
        for connection in silent:
            connection.close()
        server.close()


@pytest.mark.parametrize("kind", [CloudSettings, EdgeSettings])
def test_metrics_beyond_this_machine_need_the_word(kind: type[CloudSettings] | type[EdgeSettings]) -> None:
    assert kind(metrics="127.0.0.1:0").metrics
    assert kind(metrics="0.0.0.0:9000", insecure=True).metrics
    for address in ("0.0.0.0:9000", "unix:/tmp/x", "9000"):
        with pytest.raises(SettingsError):
            kind(metrics=address)


def test_with_tls_metrics_may_be_told_beyond_this_machine() -> None:
    for kind in (CloudSettings, EdgeSettings):
        assert kind(metrics="0.0.0.0:9000", tls_cert="a.pem", tls_key="a.key").metrics


def test_beyond_this_machine_a_scrape_needs_tls_and_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.metrics_door.is_local", lambda address: False)
    write_authority(tmp_path, hosts=["127.0.0.1"])
    (info, good), (ask, narrow) = new_token("prometheus", [Scope.INFO]), new_token("edge", [Scope.ASK])
    (tmp_path / "tokens.toml").write_text(render_tokens([good, narrow]))
    tls = TlsFiles(str(tmp_path / "cloud.pem"), str(tmp_path / "cloud.key"))
    server = MetricsServer("127.0.0.1:0", lambda: [], Security(tls, str(tmp_path / "tokens.toml")))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))

    def status(token: str, scheme: str = "https") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{scheme}://{server.address}/metrics", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=trusting) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    try:
        assert [status(token) for token in (info, "", "evs_guessed", ask)] == [200, 401, 401, 403]
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            status(info, "http")
        renewed = tmp_path / "renewed"
        renewed.mkdir()
        write_authority(renewed, hosts=["127.0.0.1"])
        for name in ("cloud.key", "cloud.pem"):
            shutil.copy(renewed / name, tmp_path / name)
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            status(info)
    finally:
        server.close()


def test_a_client_without_a_certificate_gets_no_metrics_where_one_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.metrics_door.is_local", lambda address: False)
    write_authority(tmp_path, hosts=["127.0.0.1"], edges=["prometheus"])
    tls = TlsFiles(*(str(tmp_path / name) for name in ("cloud.pem", "cloud.key", "ca.pem")))
    server = MetricsServer("127.0.0.1:0", lambda: [], Security(tls))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    url = f"https://{server.address}/metrics"
    try:
        with pytest.raises(OSError, match=r"(?i)certificate|reset|closed|EOF"):
            urllib.request.urlopen(url, timeout=10, context=trusting).read()
        trusting.load_cert_chain(tmp_path / "prometheus.pem", tmp_path / "prometheus.key")
        with urllib.request.urlopen(url, timeout=10, context=trusting) as reply:
            assert reply.status == 200
    finally:
        server.close()
