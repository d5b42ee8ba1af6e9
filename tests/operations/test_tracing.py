"""Spans: the way of a `traceparent` through a call's metadata, and what a collector receives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from common.errors import SettingsError
from common.tracing import NoSpans, metadata, open_spans, parent_of
from tests.operations.collecting import collector

WELL = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def test_only_well_formed_parents_are_taken() -> None:
    assert parent_of([("x", "y"), ("traceparent", WELL)]) == WELL
    for bad in ("", "00-zz", WELL + "x", WELL.upper()):
        assert parent_of([("traceparent", bad)]) == ""
    assert parent_of(None) == ""


def test_without_spans_calls_bear_nothing() -> None:
    with NoSpans().span("answer") as span:
        span.tell({"tokens": 1})
        assert metadata() == ()


def test_nothing_is_imported_unless_asked_for() -> None:
    code = "import sys, cloud.daemon, edge.daemon; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_the_extra_it_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"eventspec\[otel\]"):
        open_spans("http://127.0.0.1:1", "edge")


def test_a_collector_gets_both_sides_in_one_trace() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")
    address, received, server = collector()
    edge, cloud = open_spans(address, "edge"), open_spans(address, "cloud")
    try:
        with edge.span("answer") as answer:
            sent = metadata()
            with cloud.span("speculate", parent_of(sent)) as stream:
                stream.tell({"epoch": 0})
            answer.child("prefill", 1.0, 3.0, {"side": "cloud"})
        assert metadata() == ()
    finally:
        edge.close()
        cloud.close()
        server.stop(None)
    spans = {span.name: span for span in received}
    assert set(spans) == {"answer", "speculate", "prefill"}
    assert len({span.trace_id for span in received}) == 1
    assert spans["speculate"].parent_span_id == spans["prefill"].parent_span_id == spans["answer"].span_id
    assert spans["prefill"].end_time_unix_nano - spans["prefill"].start_time_unix_nano == 2_000_000
