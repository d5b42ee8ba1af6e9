"""Two daemons are scraped after an answer: what they count is what the report says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.processes import Pair, running_pair
from cloud.metrics import METRICS as CLOUD
from common.ask import Mode
from common.metrics import Kind
from edge.metrics import METRICS as EDGE
from tests.e2e.pairs import Asked, ask
from tests.operations.collecting import collector
from tests.operations.scraping import metrics_url, scrape, scrape_until

FLAGS = ["--threads", "1", "--metrics", "127.0.0.1:0"]


SPANS: list[Any] = []


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    address, received, server = collector()
    flags = [*FLAGS, "--log-format", "json", "--otel", address]
    try:
        with running_pair(cloud_arguments=flags, edge_arguments=flags) as running:
            SPANS.append(received)
            yield running
    finally:
        server.stop(None)


@pytest.fixture(scope="module")
def question() -> ClipQuestion:
    return load_questions()[0]


@pytest.fixture(scope="module")
def asked(pair: Pair, question: ClipQuestion) -> Asked:
    return ask(pair.edge.address, question)


def test_the_edge_counts_what_its_reports_say(pair: Pair, asked: Asked) -> None:
    report, found = asked.values, scrape(metrics_url(pair.edge))
    pairs = {
        "eventspec_edge_spec_decode_num_drafts_total": "verifications",
        "eventspec_edge_spec_decode_num_draft_tokens_total": "drafted",
        "eventspec_edge_spec_decode_num_accepted_tokens_total": "accepted",
        "eventspec_edge_draft_tokens_made_total": "draft_tokens_made",
        "eventspec_edge_draft_tokens_wasted_total": "draft_tokens_wasted",
        "eventspec_edge_rollbacks_total": "rollbacks",
        "eventspec_edge_resumes_total": "resumes",
        "eventspec_edge_generation_tokens_total": "tokens",
        "eventspec_edge_target_passes_total": "target_passes",
        "eventspec_edge_downlink_bytes_total": "downlink_bytes",
    }
    assert {name: found.value(name) for name in pairs} == {name: report[key] for name, key in pairs.items()}
    accepted = found.positions("eventspec_edge_spec_decode_num_accepted_tokens_per_pos_total")
    assert accepted == report["accepted_by_position"][: len(accepted)]
    assert not any(report["accepted_by_position"][len(accepted) :])
    for kind, size in report["uplink_bytes"].items():
        assert found.value("eventspec_edge_uplink_bytes_total", kind=kind) == size
    assert found.value("eventspec_edge_answers_total", mode="stream_to_cloud") == 1
    assert found.value("eventspec_edge_time_to_first_token_seconds_sum") == pytest.approx(
        report["ttft_ms"] / 1e3, rel=1e-3
    )
    assert found.value("eventspec_edge_round_trip_seconds_count") == len(report["draft_trace"])
    assert found.value("eventspec_edge_fallback") == 0


def test_the_cloud_counts_the_same_from_its_side(pair: Pair, asked: Asked) -> None:
    report = asked.values
    found = scrape_until(
        metrics_url(pair.cloud), lambda s: s.value("eventspec_cloud_generation_tokens_total") == report["tokens"]
    )
    assert found.value("eventspec_cloud_spec_decode_num_drafts_total") == report["verifications"]
    assert found.value("eventspec_cloud_spec_decode_num_draft_tokens_total") == report["drafted"]
    assert found.value("eventspec_cloud_spec_decode_num_accepted_tokens_total") == report["accepted"]
    accepted = found.positions("eventspec_cloud_spec_decode_num_accepted_tokens_per_pos_total")
    told = report["accepted_by_position"]
    assert accepted == told[: len(accepted)]
    assert not any(told[len(accepted) :])
    assert found.value("eventspec_cloud_target_passes_total") == report["target_passes"]
    assert found.value("eventspec_cloud_answers_total", finish_reason=report["finish_reason"]) == 1
    assert found.value("eventspec_cloud_sessions_opened_total", how="new") == 1
    assert found.value("eventspec_cloud_received_bytes_total", kind="video") >= report["uplink_bytes"]["video"]
    assert found.value("eventspec_cloud_sent_bytes_total", kind="speculate") >= report["downlink_bytes"]
    assert found.value("eventspec_cloud_time_to_first_token_seconds_count") == 1
    assert found.value("eventspec_cloud_step_seconds_count") >= report["target_passes"]
    assert (found.value("eventspec_cloud_ready"), found.value("eventspec_cloud_engine_up")) == (1, 1)


def test_both_show_all_they_document(pair: Pair, asked: Asked) -> None:
    for daemon, metrics in ((pair.edge, EDGE), (pair.cloud, CLOUD)):
        kinds = scrape(metrics_url(daemon)).kinds
        assert {m.name: m.kind.value for m in metrics} == {
            name: kind for name, kind in kinds.items() if name.startswith("eventspec")
        }
        assert "process_open_fds" in kinds
        assert Kind.HISTOGRAM.value in kinds.values()


def test_one_trace_spans_both_sides(pair: Pair, asked: Asked) -> None:
    deadline = time.monotonic() + 15
    while not {span.name for span in SPANS[0]} >= {"answer", "speculate", "prefill"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    spans = {span.name: span for span in SPANS[0]}
    assert spans["speculate"].parent_span_id == spans["answer"].span_id
    assert len({span.trace_id for span in SPANS[0]}) == 1
    told = {attribute.key: attribute.value for attribute in spans["answer"].attributes}
    assert told["eventspec.tokens"].int_value == asked.values["tokens"]


def test_both_logs_name_the_session(pair: Pair, asked: Asked) -> None:
    lines = {}
    for daemon, message in ((pair.edge, "answered"), (pair.cloud, "stream over")):
        logged = [json.loads(line) for line in daemon.log if line.startswith("{")]
        lines[message] = next(line for line in logged if line["message"] == message)
    assert lines["answered"]["tokens"] == asked.values["tokens"]
    assert lines["answered"]["session"] == lines["stream over"]["session"] != ""


def test_answers_alone_and_failures_are_told_apart(pair: Pair, question: ClipQuestion, asked: Asked) -> None:
    from common.errors import EventSpecError

    before = scrape(metrics_url(pair.edge))
    ask(pair.edge.address, question, mode=Mode.EDGE_ONLY, max_tokens=4)
    broken = replace(question, question=" ")
    with pytest.raises(EventSpecError):
        ask(pair.edge.address, broken)
    after = scrape(metrics_url(pair.edge))
    grown = {key for key, value in after.samples.items() if value > before.samples.get(key, 0.0)}
    assert ("eventspec_edge_answers_total", (("mode", "edge_only"),)) in grown
    assert ("eventspec_edge_failures_total", (("code", "invalid"),)) in grown
    assert ("eventspec_edge_fallbacks_total", ()) not in grown
