"""The answers that have a name: who asks again by the same name goes on with the answer, wherever it stands.

Each runs in a task of its own, and whoever asks follows it. An asker who goes away ends it, as without a name; but an
answer that was found in the spool after a restart goes on without one, and what it comes to is kept for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from common.ask import Answer, AskEvent, AskRequest, Notice, Report, WatchRequest, WatchState
from common.errors import EngineError, EventSpecError, LinkError, PromptError
from edge.spool import Journal, Progress, Spool, Spooled

_LOOK_S = 0.01
_KEPT_S = 300.0  # an answer that nobody has taken, or might ask for again
_KEPT = 64
_SWEEP_S = 30.0  # between two looks for answers to forget


class Answers(Protocol):
    """Who answers (`edge.answering.Answering`)."""

    def answer(self, ask: AskRequest, journal: Journal | None = None) -> AsyncGenerator[AskEvent, None]:
        """Answer one question; `journal` says how far it has come, and hears how it goes on."""

    def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        """Stream a clip ahead of its questions."""


@dataclass(eq=False)
class Entry:
    """One answer with a name. `turn` counts its followers: the newest has it."""

    ask: AskRequest
    journal: Journal | None
    orphan: bool = False
    turn: int = 0
    task: asyncio.Task[None] | None = None
    notices: list[Notice] = field(default_factory=list)
    answer: Answer | None = None
    report: Report | None = None
    error: EventSpecError | None = None
    ended_at: float | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ended(self) -> bool:
        """Whether there is a report or an error."""
        return self.report is not None or self.error is not None


class AnswerDesk:
    """Stands before `Answers`, and is one."""

    def __init__(
        self, answers: Answers, spool: Spool, disk: Executor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._answers = answers
        self._spool = spool
        self._disk = disk
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._unnamed = 0  # answers without a name, which end with their call
        self._stopping = False
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def orphans(self) -> int:
        """Answers in progress that nobody follows."""
        return sum(entry.orphan and not entry.ended for entry in self._entries.values())

    def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        """Stream a clip ahead of its questions."""
        return self._answers.watch(watch)

    async def answer(self, ask: AskRequest) -> AsyncGenerator[AskEvent, None]:
        """Answer a question, or go on with its answer if it has a name that is known.

        Raises:
            EventSpecError: there is no answer, and why.
        """
        if not ask.answer_id or ask.watch:
            self._unnamed += 1
            try:
                async with contextlib.aclosing(self._answers.answer(ask)) as events:
                    async for event in events:
                        yield event
            finally:
                self._unnamed -= 1
            return
        self._sweep()
        entry = self._entries.get(ask.answer_id)
        if entry is None:
            entry = self._begin(ask, Progress(uuid.uuid4().hex))
        elif entry.ask != ask:
            raise PromptError("another question has this name: leave the answer's name out, or ask the same question")
        entry.turn += 1
        entry.orphan = False
        turn = entry.turn
        async with entry.changed:
            entry.changed.notify_all()  # whoever followed it before
        try:
            async with contextlib.aclosing(self._follow(entry, turn)) as events:
                async for event in events:
                    yield event
        finally:
            if entry.turn == turn and not entry.ended and not self._stopping:
                await self._drop(entry)

    async def _follow(self, entry: Entry, turn: int) -> AsyncGenerator[AskEvent, None]:
        told, shown = 0, None
        while True:
            async with entry.changed:
                while not (entry.ended or entry.turn != turn or entry.answer is not shown or len(entry.notices) > told):
                    await entry.changed.wait()
                fresh, told = entry.notices[told:], len(entry.notices)
                answer, report, error = entry.answer, entry.report, entry.error
            if entry.turn != turn:
                raise LinkError("this answer was asked for again by somebody else")
            for notice in fresh:
                yield notice
            if answer is not None and answer is not shown:
                shown = answer
                yield answer
            if report is not None:
                yield report
                return
            if error is not None:
                raise error

    # -------------------------------------------------------------------------------------------------- running

    def _begin(self, ask: AskRequest, progress: Progress, *, orphan: bool = False) -> Entry:
        entry = Entry(ask, self._spool.journal(ask.answer_id, progress), orphan)
        self._entries[ask.answer_id] = entry
        entry.task = asyncio.create_task(self._run(entry))
        return entry

    async def _run(self, entry: Entry) -> None:
        loop, journal = asyncio.get_running_loop(), entry.journal
        try:
            if journal is not None:
                await loop.run_in_executor(self._disk, journal.begin, entry.ask)
            worried = False
            async with contextlib.aclosing(self._answers.answer(entry.ask, journal)) as events:
                async for event in events:
                    if journal is not None and journal.trouble is not None and not worried:
                        worried = True
                        text = f"the spool can't be written ({journal.trouble}): this answer won't survive a restart"
                        await self._tell(entry, Notice(text))
                    await self._tell(entry, event)
            if entry.report is None:
                entry.error = EngineError("the answer ended without a report")
        except EventSpecError as error:
            entry.error = error
        except Exception as error:  # nobody else would hear of it
            entry.error = EngineError(f"the answer failed: {error!r}")
        entry.ended_at = self._clock()
        if journal is not None and not self._stopping:
            values = entry.report.values if entry.report is not None else None
            await loop.run_in_executor(self._disk, journal.finish, values, entry.error)
        async with entry.changed:
            entry.changed.notify_all()

    async def _tell(self, entry: Entry, event: AskEvent) -> None:
        async with entry.changed:
            match event:
                case Answer():
                    entry.answer = event
                case Notice():
                    entry.notices.append(event)
                case Report():
                    entry.report = event
                    return  # when it is on disk
            entry.changed.notify_all()

    async def _drop(self, entry: Entry) -> None:
        """Its asker went away."""
        self._entries.pop(entry.ask.answer_id, None)
        if entry.task is not None:
            entry.task.cancel()
            await asyncio.gather(entry.task, return_exceptions=True)
        if entry.journal is not None:
            entry.journal.remove()

    def _sweep(self) -> None:
        """Forget answers that ended long ago, and the oldest where they are many."""
        ended = sorted((e for e in self._entries.values() if e.ended_at is not None), key=lambda e: e.ended_at or 0.0)
        for place, entry in enumerate(ended):
            old = entry.ended_at is not None and self._clock() - entry.ended_at > _KEPT_S
            if old or len(ended) - place > _KEPT:
                del self._entries[entry.ask.answer_id]
                if entry.journal is not None:
                    entry.journal.remove()

    # --------------------------------------------------------------------------------------------------- restart

    async def recover(self) -> int:
        """Go on with what an earlier daemon left in the spool; returns how many answers are in progress."""
        loop = asyncio.get_running_loop()
        for spooled in reversed(await loop.run_in_executor(self._disk, self._spool.found)):
            if spooled.report is None and spooled.error is None:
                self._begin(spooled.ask, spooled.progress, orphan=True)
            else:
                self._keep(spooled)
        self._sweeping = asyncio.create_task(self._sweep_on())
        return self.orphans

    async def _sweep_on(self) -> None:
        """Questions and answers don't stay on the disk for longer because nobody asks anything."""
        while True:
            self._sweep()
            await asyncio.sleep(_SWEEP_S)

    def _keep(self, spooled: Spooled) -> None:
        entry = Entry(spooled.ask, self._spool.journal(spooled.ask.answer_id, spooled.progress))
        entry.report = Report(spooled.report) if spooled.report is not None else None
        entry.error, entry.ended_at = spooled.error, self._clock()
        self._entries[spooled.ask.answer_id] = entry

    def leave(self) -> None:
        """The daemon is going down: from now on nobody's leaving ends an answer."""
        self._stopping = True

    async def stop(self) -> None:
        """End all tasks; journals stay, and the cloud keeps their sessions for the next daemon.

        Calls have been cancelled: waits until their answers have said goodbye to the cloud.
        """
        self._stopping = True
        for entry in self._entries.values():
            if entry.journal is not None:
                entry.journal.parting = True
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        tasks += [self._sweeping] if self._sweeping is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._unnamed:
            await asyncio.sleep(_LOOK_S)
        for entry in self._entries.values():
            if entry.journal is not None:
                entry.journal.close()
