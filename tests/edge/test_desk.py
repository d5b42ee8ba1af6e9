"""Answers with a name: asked for again they go on; after a restart they go on by themselves; nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common.ask import Answer, AskEvent, AskRequest, Notice, Report, WatchRequest, WatchState
from common.errors import LinkError, PromptError
from edge.desk import AnswerDesk
from edge.spool import Journal, Spool, read_journal

ID = "a" * 16
ASK = AskRequest("what?", "e", "v", answer_id=ID)
WORDS = ["the ", "red ", "ball ", "moves."]


class Slow:
    """Says a word whenever it is let; writes what it says into the journal, and begins where that ends."""

    def __init__(self) -> None:
        self.may = asyncio.Semaphore(0)
        self.running = 0
        self.begun = 0
        self.fails: LinkError | None = None

    async def answer(self, ask: AskRequest, journal: Journal | None = None) -> AsyncGenerator[AskEvent, None]:
        self.running += 1
        self.begun += 1
        said = list(journal.progress.committed) if journal is not None else []
        try:
            if journal is not None:
                journal.connecting(journal.progress.epoch + 1)
            while len(said) < len(WORDS):
                await self.may.acquire()
                if self.fails is not None:
                    raise self.fails
                said.append(len(said))
                if journal is not None:
                    journal.commit(said)
                yield Answer("".join(WORDS[: len(said)]), "", 0.0)
            yield Report({"answer": "".join(WORDS), "token_ids": said})
        finally:
            self.running -= 1

    def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        raise NotImplementedError

    def say(self, words: int) -> None:
        for _ in range(words):
            self.may.release()


@pytest.fixture
async def disk() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def journals(folder: Path) -> list[str]:
    return sorted(p.stem for p in folder.glob("*.journal"))


async def follow(desk: AnswerDesk, ask: AskRequest = ASK, upto: str | None = None) -> list[AskEvent]:
    """All events; with `upto` until that text is committed, and then the asker goes away."""
    events = []
    async with asyncio.timeout(10), contextlib.aclosing(desk.answer(ask)) as answer:
        async for event in answer:
            events.append(event)
            if isinstance(event, Answer) and event.committed_text == upto:
                break
    return events


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_a_whole_answer_with_a_name(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk)
    slow.say(4)
    events = await follow(desk)
    assert isinstance(events[-1], Report)
    assert events[-1].values["token_ids"] == [0, 1, 2, 3]
    again = await follow(desk)  # who lost the end just before it came gets it
    assert again[-1] == events[-1]
    assert slow.begun == 1


async def test_an_asker_that_leaves_ends_the_answer_and_nothing_stays(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk)
    slow.say(1)
    await follow(desk, upto="the ")
    assert slow.running == 0
    assert journals(tmp_path) == []
    slow.say(4)
    assert isinstance((await follow(desk))[-1], Report)
    assert slow.begun == 2


async def test_who_asks_again_takes_over_the_running_answer(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk)
    first = asyncio.create_task(follow(desk))
    slow.say(2)
    await until(lambda: desk._entries and desk._entries[ID].answer is not None)
    second = asyncio.create_task(follow(desk))
    with pytest.raises(LinkError, match="asked for again"):
        await first
    slow.say(2)
    assert isinstance((await second)[-1], Report)
    assert slow.begun == 1


async def test_another_question_under_the_same_name_is_refused(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk)
    slow.say(4)
    await follow(desk)
    with pytest.raises(PromptError, match="another question"):
        await follow(desk, replace(ASK, question="where?"))


async def test_after_a_restart_it_goes_on_alone_and_waits_for_its_asker(
    tmp_path: Path, disk: ThreadPoolExecutor
) -> None:
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk)
    asking = asyncio.create_task(follow(desk))
    slow.say(2)
    await until(lambda: (found := read_journal(tmp_path / f"{ID}.journal")) and found.progress.committed == [0, 1])
    asking.cancel()
    desk.leave()
    await asyncio.gather(asking, return_exceptions=True)
    await desk.stop()
    assert journals(tmp_path) == [ID]

    later = Slow()
    desk = AnswerDesk(later, Spool(tmp_path, disk), disk)
    assert await desk.recover() == 1
    later.say(2)
    await until(lambda: desk.orphans == 0)
    events = await follow(desk)
    assert [e.committed_text for e in events if isinstance(e, Answer)] == ["the red ball moves."]
    assert isinstance(events[-1], Report)
    assert events[-1].values["token_ids"] == [0, 1, 2, 3]

    third = AnswerDesk(Slow(), Spool(tmp_path, disk), disk)  # it had ended: a third daemon still has it
    assert await third.recover() == 0
    assert isinstance((await follow(third))[-1], Report)


async def test_an_error_is_the_askers_to_see_even_later(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    slow = Slow()
    slow.fails = LinkError("the cloud can't be reached")
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk)
    slow.say(1)
    with pytest.raises(LinkError, match="can't be reached"):
        await follow(desk)
    desk = AnswerDesk(Slow(), Spool(tmp_path, disk), disk)
    await desk.recover()
    with pytest.raises(LinkError, match="can't be reached"):
        await follow(desk)


async def test_what_nobody_takes_is_forgotten(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    now = 0.0
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk, clock=lambda: now)
    for number in range(70):
        slow.say(4)
        await follow(desk, replace(ASK, answer_id=f"{number:016d}"))
    assert len(journals(tmp_path)) <= 66
    now = 1000.0
    slow.say(4)
    await follow(desk)
    assert journals(tmp_path) == [ID]


async def test_what_nobody_takes_is_forgotten_while_nobody_asks(
    tmp_path: Path, disk: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("edge.desk._SWEEP_S", 0.01)
    slow = Slow()
    desk = AnswerDesk(slow, Spool(tmp_path, disk), disk, clock=lambda: now)
    await desk.recover()
    slow.say(4)
    await follow(desk)
    assert journals(tmp_path) == [ID]
    now = 1000.0
    async with asyncio.timeout(10):
        while journals(tmp_path):
            await asyncio.sleep(0.01)
    await desk.stop()


async def test_a_disk_that_fails_is_one_notice(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    slow = Slow()
    spool = Spool(tmp_path / "spool", disk)
    (tmp_path / "spool").rmdir()
    desk = AnswerDesk(slow, spool, disk)
    slow.say(4)
    events = await follow(desk)
    assert sum(isinstance(e, Notice) and "won't survive a restart" in e.text for e in events) == 1
    assert isinstance(events[-1], Report)
