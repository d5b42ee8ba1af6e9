"""Stands between the desk and `Answering`: counts answers, and says in the log how each ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from common.ask import AskEvent, AskRequest, Report, WatchRequest, WatchState
from common.errors import EventSpecError
from common.tracing import NoSpans, Span, Spans
from edge.counters import EdgeCounters
from edge.desk import Answers
from edge.spool import Journal

log = logging.getLogger("eventspec.edge")

_TOLD = ("mode", "finish_reason", "tokens", "ttft_ms", "total_ms", "drafted", "accepted", "resumes")


class MeteredAnswers:
    """`Answers` that are counted."""

    def __init__(self, answers: Answers, counters: EdgeCounters, spans: Spans | None = None) -> None:
        self._answers = answers
        self._spans = spans or NoSpans()
        self._counters = counters

    async def answer(self, ask: AskRequest, journal: Journal | None = None) -> AsyncGenerator[AskEvent, None]:
        """Answer one question."""
        counters, ended = self._counters, False
        counters.running += 1
        try:
            with self._spans.span("answer") as span:
                async with contextlib.aclosing(self._answers.answer(ask, journal)) as events:
                    async for event in events:
                        if isinstance(event, Report):
                            ended = True
                            counters.answered(ask, event.values)
                            _tell(span, event.values)
                        yield event
        except EventSpecError as error:
            ended = True
            counters.failure(error)
            log.info("no answer: %s", error)
            raise
        finally:
            counters.running -= 1
            counters.dropped += not ended

    async def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        """Watch a clip."""
        self._counters.watching += 1
        try:
            async with contextlib.aclosing(self._answers.watch(watch)) as states:
                async for state in states:
                    yield state
        finally:
            self._counters.watching -= 1


def _tell(span: Span, report: Mapping[str, Any]) -> None:
    """The report's figures and stages, in the span and in the log."""
    figures = {name: report[name] for name in _TOLD}
    log.info("answered", extra={"fields": figures})
    span.tell({f"eventspec.{name}": value for name, value in figures.items() if value is not None})
    for stage in report["stages"]:
        span.child(stage["name"], stage["start_ms"], stage["end_ms"], {"eventspec.side": stage["side"]})
