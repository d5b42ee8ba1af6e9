"""Stands between the desk and `Answering`: counts answers, and says in the log how each ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator

from common.ask import AskEvent, AskRequest, Report, WatchRequest, WatchState
from common.errors import EventSpecError
from edge.counters import EdgeCounters
from edge.desk import Answers
from edge.spool import Journal

log = logging.getLogger("eventspec.edge")


class MeteredAnswers:
    """`Answers` that are counted."""

    def __init__(self, answers: Answers, counters: EdgeCounters) -> None:
        self._answers = answers
        self._counters = counters

    async def answer(self, ask: AskRequest, journal: Journal | None = None) -> AsyncGenerator[AskEvent, None]:
        """Answer one question."""
        counters, ended = self._counters, False
        counters.running += 1
        try:
            async with contextlib.aclosing(self._answers.answer(ask, journal)) as events:
                async for event in events:
                    if isinstance(event, Report):
                        ended = True
                        counters.answered(ask, event.values)
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
