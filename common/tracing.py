"""Spans across edge and cloud, by OpenTelemetry: an extra (`eventspec[otel]`), imported only where it is asked for.

The edge's span of an answer is named in the metadata of its calls (W3C `traceparent`); the cloud's span of the stream
is its child. Spans carry figures, never questions, answers or tokens.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from common.errors import SettingsError

TRACEPARENT = "traceparent"
_LOOK_S = 0.02
_current: ContextVar[str] = ContextVar("traceparent", default="")
_WELL_FORMED = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
Attributes = Mapping[str, str | int | float | bool]


class Spans(Protocol):
    """Where spans go."""

    @contextmanager
    def span(self, name: str, parent: str = "") -> Iterator[Span]:
        """A span for as long as the context; calls made in it name it. `parent`: a `traceparent`, or none."""

    def close(self) -> None:
        """Send what is left."""


class Span:
    """One that says nothing to anybody."""

    def tell(self, attributes: Attributes) -> None:
        """Figures of it."""

    def child(self, name: str, start_ms: float, end_ms: float, attributes: Attributes) -> None:
        """Something within it, at times since its beginning."""


class NoSpans:
    """Nobody asked for spans."""

    @contextmanager
    def span(self, name: str, parent: str = "") -> Iterator[Span]:
        """No span."""
        yield Span()

    def close(self) -> None:
        """Nothing is left."""


def open_spans(endpoint: str, service: str) -> Spans:
    """Spans that go to an OTLP collector over gRPC, `http://HOST:4317`; empty: none are made.

    Raises:
        SettingsError: the extra isn't installed.
    """
    if not endpoint:
        return NoSpans()
    try:
        return OtelSpans(endpoint, service)
    except ImportError as error:
        raise SettingsError(f"--otel needs the extra: pip install 'eventspec[otel]' ({error})") from error


async def close_spans(spans: Spans, within_s: float = 2.0) -> None:
    """Send what is left, in a thread that nobody waits for longer than that: there may be no collector."""
    if isinstance(spans, NoSpans):
        return
    closing = threading.Thread(target=spans.close, name="spans", daemon=True)
    closing.start()
    ends = time.monotonic() + within_s
    while closing.is_alive() and time.monotonic() < ends:
        await asyncio.sleep(_LOOK_S)


def metadata() -> tuple[tuple[str, str], ...]:
    """For a call: the span that it is made in, if any."""
    name = _current.get()
    return ((TRACEPARENT, name),) if name else ()


def parent_of(received: Sequence[tuple[str, str | bytes]] | None) -> str:
    """The caller's span in a call's metadata; empty if there is none, or nonsense."""
    for key, value in received or ():
        if key == TRACEPARENT and isinstance(value, str) and _WELL_FORMED.fullmatch(value):
            return value
    return ""


class OtelSpans:
    """Spans through the OpenTelemetry SDK, sent in batches by a thread of its own."""

    def __init__(self, endpoint: str, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=5)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
        self._tracer = self._provider.get_tracer("eventspec")

    @contextmanager
    def span(self, name: str, parent: str = "") -> Iterator[Span]:
        """A span, named in the metadata of the calls that are made in it."""
        began_ns = time.time_ns()
        span = self._tracer.start_span(name, context=_context_of(parent), start_time=began_ns)
        own, outer = span.get_span_context(), _current.get()
        _current.set(f"00-{own.trace_id:032x}-{own.span_id:016x}-01")
        try:
            yield _Otel(self._tracer, span, began_ns)
        finally:
            _current.set(outer)
            span.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class _Otel(Span):
    def __init__(self, tracer: Any, span: Any, began_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        self._began_ns = began_ns

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def child(self, name: str, start_ms: float, end_ms: float, attributes: Attributes) -> None:
        from opentelemetry.trace import set_span_in_context

        at = [self._began_ns + round(ms * 1e6) for ms in (start_ms, end_ms)]
        made = self._tracer.start_span(
            name, context=set_span_in_context(self._span), start_time=at[0], attributes=dict(attributes)
        )
        made.end(end_time=at[1])


def _context_of(parent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({TRACEPARENT: parent}) if parent else None
